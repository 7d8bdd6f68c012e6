"""Fixtures of the cluster test: a cluster that may be deleted, and a table of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.cluster_tools import Cluster, tools
from cluster.timetable import Timetable

_timetable = pytest.StashKey[Timetable]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", help="of a cluster that may be deleted; its current context is used")
    group.addoption("--disposable", action="store_true", help="confirms that everything in that cluster may be deleted")
    group.addoption(
        "--cluster-program",
        help="a program with the commands `base`, `build`, `load` for images; without it `docker` and `kind` are used",
    )


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    given = pytestconfig.getoption("kubeconfig")
    assert given, "name the cluster: --kubeconfig PATH --disposable"
    assert pytestconfig.getoption("disposable"), "the test deletes everything in the cluster; confirm with --disposable"
    images = tools(pytestconfig.getoption("cluster_program"))
    cluster = Cluster(Path(given).resolve(), images, tmp_path_factory.mktemp("cluster"))
    cluster.reject_unless_empty()
    return cluster


@pytest.fixture(scope="session")
def timetable(pytestconfig: pytest.Config) -> Iterator[Timetable]:
    table = pytestconfig.stash.setdefault(_timetable, Timetable())
    yield table
    print(table.text())


@pytest.fixture(autouse=True)
def step(request: pytest.FixtureRequest, timetable: Timetable) -> Iterator[None]:
    """Each test needs those before it, so none runs after a failure."""
    assert timetable.going, "an earlier step failed"
    with timetable.step(request.node.name.removeprefix("test_").replace("_", " ")):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().failed:  # type: ignore[attr-defined]
        item.config.stash.setdefault(_timetable, Timetable()).going = False
