"""A running stack: killed parts, a second start, a restart."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from orderfleet_local.stack import lifecycle, postgres, processes, state
from orderfleet_local.stack.errors import AlreadyRunning, Busy, StackError
from orderfleet_local.stack.launch import answers
from orderfleet_local.stack.state import Condition, StackState, inspect
from stack.fake_stack import role
from support.polling import eventually_sync
from support.stack_folders import stack_folder

# The tests share a stack, so they run in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("running-stack")]

ROLES = (role("well"),)


@pytest.fixture(scope="module")
def running_stack() -> Iterator[StackState]:
    with stack_folder() as folder:
        yield lifecycle.up(folder=folder, roles=ROLES)


def _kill(running_stack: StackState, part: str) -> None:
    (process,) = (p for p in processes.find(running_stack.folder)[part] if p.pid == running_stack.parts[part].pid)
    process.kill()
    eventually_sync(lambda: not processes.alive(process))


def _conditions(folder: Path) -> dict[str, Condition]:
    return {part.name: part.state for part in inspect(folder)}


@pytest.fixture
def whole(running_stack: StackState) -> Iterator[StackState]:
    """Yield the running stack; start its stopped parts again after the test."""
    yield state.load(running_stack.folder) or running_stack
    try:
        lifecycle.up(folder=running_stack.folder, roles=ROLES)
    except AlreadyRunning:
        return


def test_status_of_each_part_is_running(whole):
    assert _conditions(whole.folder) == dict.fromkeys(whole.parts, Condition.RUNNING)
    assert set(whole.parts) == {"postgres", "temporal", "etcd", "kube-apiserver", "well"}
    assert answers(whole.temporal_ui_url)
    assert whole.kubeconfig.stat().st_mode & 0o077 == 0


def test_second_up_is_rejected(whole):
    with pytest.raises(AlreadyRunning):
        lifecycle.up(folder=whole.folder, roles=ROLES)


def test_concurrent_command_is_rejected(whole):
    with lifecycle.exclusive(whole.folder), pytest.raises(Busy, match="another command"):
        lifecycle.down(folder=whole.folder)


def test_killed_role_is_restarted_on_its_ports(whole):
    _kill(whole, "well")
    assert _conditions(whole.folder)["well"] is Condition.STOPPED
    again = lifecycle.up(folder=whole.folder, roles=ROLES)
    assert again.parts["well"].ports == whole.parts["well"].ports
    assert again.parts["well"].pid != whole.parts["well"].pid
    assert again.parts["postgres"] == whole.parts["postgres"]
    # The child of the killed process has ended too.
    assert len(processes.find(whole.folder)["well"]) == 2


async def test_killed_postgres_restarts_with_its_data(whole):
    connection = await asyncpg.connect(whole.database_url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
    _kill(whole, "postgres")
    again = lifecycle.up(folder=whole.folder, roles=ROLES)
    assert again.database_url == whole.database_url
    connection.terminate()
    connection = await asyncpg.connect(again.database_url)
    assert await connection.fetchval("SELECT n FROM kept") == 42
    await connection.close()


def test_restart_drains_one_part_and_keeps_the_others(whole):
    again = lifecycle.restart("well", folder=whole.folder, roles=ROLES)
    changed = {name for name, part in again.parts.items() if part != whole.parts[name]}
    assert changed == {"well"}
    assert "drained" in Path(whole.parts["well"].log).with_suffix(".previous.log").read_text()


def test_restart_of_an_unknown_part_lists_the_parts(whole):
    with pytest.raises(StackError, match="there is no nonsense; there are etcd"):
        lifecycle.restart("nonsense", folder=whole.folder, roles=ROLES)


def test_part_on_another_port_restarts_the_parts_that_need_it(whole):
    _kill(whole, "postgres")
    port = whole.parts["postgres"].ports["sql"]
    with socket.socket() as blocker:
        blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        blocker.bind(("127.0.0.1", port))
        blocker.listen()
        again = lifecycle.up(folder=whole.folder, roles=ROLES)
    assert again.parts["postgres"].ports["sql"] != port
    assert again.parts["well"].pid != whole.parts["well"].pid


def test_down_after_a_kill_of_postgres_ends_its_busy_backends(running_stack):
    folder = running_stack.folder
    current = state.load(folder)
    assert current is not None
    # A computing query doesn't notice that the server has ended.
    psql = processes.Command(
        (
            str(postgres.programs() / "psql"),
            current.database_url,
            "-c",
            "SELECT count(*) FROM generate_series(1, 1e11)",
        ),
        folder,
    )
    processes.spawn(psql, folder=folder, part="query", log=folder / "logs" / "query.log")
    eventually_sync(lambda: any("SELECT" in " ".join(p.cmdline()) for p in processes.find(folder)["postgres"]))
    _kill(current, "postgres")
    assert processes.find(folder)["postgres"]
    lifecycle.down(folder=folder)
    assert processes.find(folder) == {}
