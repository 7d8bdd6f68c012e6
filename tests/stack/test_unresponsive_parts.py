"""A part that runs but doesn't respond is shown by `status` and restarted by `up`."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator

import pytest
from temporalio.client import Client

from orderfleet_local.provision import cache
from orderfleet_local.provision.catalog import SQLITE_DRIVER
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import lifecycle, processes, state, temporal_server
from orderfleet_local.stack.errors import AlreadyRunning
from orderfleet_local.stack.state import Condition, StackState, inspect
from stack.fake_stack import role
from support.stack_folders import stack_folder

# The tests share a stack, so they run in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("unresponsive-parts")]

ROLES = (role("well"),)


@pytest.fixture(scope="module")
def running_stack() -> Iterator[StackState]:
    with stack_folder() as folder:
        yield lifecycle.up(folder=folder, roles=ROLES)


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch):
    monkeypatch.setattr(lifecycle, "_RESPONSE_TIMEOUT", 5)


def _conditions(running_stack: StackState) -> dict[str, tuple[Condition, str | None]]:
    return {part.name: (part.state, part.problem) for part in inspect(running_stack.folder)}


def _restarted(running_stack: StackState, part: str) -> list[str]:
    """Restart unresponsive parts, which must be `part` only; return the output."""
    before = state.load(running_stack.folder)
    assert before is not None
    lines: list[str] = []
    after = lifecycle.up(lines.append, folder=running_stack.folder, roles=ROLES)
    assert {name for name, found in after.parts.items() if found.pid != before.parts[name].pid} == {part}
    assert after.parts[part].ports == before.parts[part].ports
    assert set(_conditions(running_stack).values()) == {(Condition.RUNNING, None)}
    with pytest.raises(AlreadyRunning):
        lifecycle.up(folder=running_stack.folder, roles=ROLES)
    return lines


def test_provided_temporal_is_linked_with_the_fixed_driver():
    program = provide(["temporal"])["temporal"]
    version = cache.linked_version(program, "modernc.org/sqlite")
    assert version is not None
    assert version >= SQLITE_DRIVER


@pytest.mark.parametrize("part", ["postgres", "temporal", "etcd", "kube-apiserver", "well"])
def test_suspended_process_is_shown_and_restarted(running_stack, part):
    for process in processes.find(running_stack.folder, part)[part]:
        process.send_signal(signal.SIGSTOP)
    shown, problem = _conditions(running_stack)[part]
    assert shown is Condition.NOT_RESPONDING
    assert problem is not None
    lines = _restarted(running_stack, part)
    assert f"{part} runs but does not respond: {problem}; it is restarted" in lines


async def test_temporal_that_passes_only_health_checks_is_shown_and_restarted(running_stack):
    # The state of its namespace registry with broken database connections, until a restart.
    database = sqlite3.connect(running_stack.folder / "temporal" / "temporal.db", timeout=30)
    database.execute("DELETE FROM namespaces WHERE name = 'default'")
    database.commit()
    database.close()
    client = await Client.connect(running_stack.temporal_address)
    assert await client.service_client.check_health()
    expected = "DescribeNamespace returns 404: Namespace default is not found."
    assert _conditions(running_stack)["temporal"] == (Condition.NOT_RESPONDING, expected)
    lines = _restarted(running_stack, "temporal")
    assert f"temporal runs but does not respond: {expected}; it is restarted" in lines
    assert temporal_server.problem(running_stack.parts["temporal"].ports) is None


def test_role_that_returns_not_ready_is_shown_and_kept(running_stack):
    # As the product's roles do while a service that they need is unavailable.
    marker = running_stack.folder / "not-ready"
    marker.touch()
    try:
        assert _conditions(running_stack)["well"] == (Condition.NOT_READY, None)
        with pytest.raises(AlreadyRunning):
            lifecycle.up(folder=running_stack.folder, roles=ROLES)
    finally:
        marker.unlink()
