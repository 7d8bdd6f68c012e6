"""What the cluster test is given: a cluster that it may fill and empty, and the programs that reach it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disposable import Cluster, tools
from timetable import Timetable

_timetable = pytest.StashKey[Timetable]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", help="of a cluster that may be thrown away; its current context is taken")
    group.addoption("--disposable", action="store_true", help="yes, everything in that cluster may be lost")
    group.addoption(
        "--cluster-program",
        help="a program with the commands `base`, `build`, `load` for images; without it `docker` and `kind` are used",
    )


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    given = pytestconfig.getoption("kubeconfig")
    assert given, "name the cluster: --kubeconfig PATH --disposable"
    assert pytestconfig.getoption("disposable"), (
        "the test fills and empties the cluster: say that you mean it, --disposable"
    )
    images = tools(pytestconfig.getoption("cluster_program"))
    there = Cluster(Path(given).resolve(), images, tmp_path_factory.mktemp("cluster"))
    there.refuse_unless_empty()
    return there


@pytest.fixture(scope="session")
def timetable(pytestconfig: pytest.Config) -> Iterator[Timetable]:
    table = pytestconfig.stash.setdefault(_timetable, Timetable())
    yield table
    print(table.text())


@pytest.fixture(autouse=True)
def step(request: pytest.FixtureRequest, timetable: Timetable) -> Iterator[None]:
    """Each test is a step on the ones before it; after a failure nothing more is tried."""
    assert timetable.going, "an earlier step failed"
    with timetable.step(request.node.name.removeprefix("test_").replace("_", " ")):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().failed:  # type: ignore[attr-defined]
        item.config.stash.setdefault(_timetable, Timetable()).going = False
