"""Starting and stopping a stack: interruptions, failures, other stacks, data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from orderfleet_local.stack import apiserver, lifecycle, postgres, processes, state, temporal_server
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.processes import PART_MARK, STACK_MARK
from stack.fake_stack import role
from support.polling import eventually_sync

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", ["postgres", "kube-apiserver", "well"])
def test_down_after_a_killed_starter_ends_every_process(folder, starter, part):
    run = starter("well")
    eventually_sync(lambda: part in processes.find(folder))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert lifecycle.down(folder=folder)
    assert processes.find(folder) == {}
    assert state.load(folder) is None


def test_up_after_a_killed_starter_works(folder, starter):
    run = starter("well")
    eventually_sync(lambda: "kube-apiserver" in processes.find(folder))
    left = processes.find(folder)
    run.send_signal(signal.SIGKILL)
    run.wait()
    again = lifecycle.up(folder=folder, roles=[role("well")])
    pids = {part.pid for part in again.parts.values()}
    assert not pids & {process.pid for found in left.values() for process in found}
    lifecycle.down(folder=folder)
    assert processes.find(folder) == {}


def test_interrupted_starter_stops_its_parts(folder, starter):
    run = starter("well")
    eventually_sync(lambda: "kube-apiserver" in processes.find(folder))
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert "stopping the parts that were started" in output
    assert processes.find(folder) == {}


def test_failed_part_is_reported_with_the_end_of_its_log(folder):
    with pytest.raises(PartFailed) as failure:
        lifecycle.up(folder=folder, roles=[role("well"), role("broken")])
    assert failure.value.part == "broken"
    assert "broken on purpose" in str(failure.value)
    assert processes.find(folder) == {}


def test_down_ends_no_process_of_other_stacks(folder, tmp_path):
    data = folder / "postgres"
    lifecycle.up(folder=folder, roles=[role("well")])
    script = role("well").arguments[1]
    similar = [
        # The same command in the same folder, as part of another stack or of none.
        {STACK_MARK: str(tmp_path), PART_MARK: "well"},
        {STACK_MARK: f"{folder}-other", PART_MARK: "postgres"},
        {},
    ]
    started = [
        subprocess.Popen(
            [sys.executable, script, "well"], cwd=data, env={**os.environ, "ORDERFLEET_HEALTH_PORT": "0", **marks}
        )
        for marks in similar
    ]
    try:
        ended = lifecycle.down(folder=folder)
        assert set(ended) == {"postgres", "temporal", "etcd", "kube-apiserver", "well"}
        assert [process.poll() for process in started] == [None, None, None]
    finally:
        for process in started:
            process.terminate()
            process.wait()


def test_ports_in_use_are_replaced_and_reported(folder):
    wanted = {
        postgres.DEFAULT_PORT,
        temporal_server.DEFAULT_PORT,
        temporal_server.DEFAULT_UI_PORT,
        apiserver.DEFAULT_ETCD_PORT,
        apiserver.DEFAULT_PORT,
    }
    blockers, held = [], set()
    for port in wanted:
        blocker = socket.socket()
        blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        blockers.append(blocker)
        try:
            blocker.bind(("127.0.0.1", port))
            blocker.listen()
        except OSError:
            continue  # another stack of these tests uses it, and may release it at any time
        held.add(port)
    lines: list[str] = []
    try:
        got = lifecycle.up(lines.append, folder=folder, roles=())
    finally:
        for blocker in blockers:
            blocker.close()
    assert not held & {port for part in got.parts.values() for port in part.ports.values()}
    output = "\n".join(lines)
    assert [port for port in held if f"port {port} is in use" not in output] == []
    lifecycle.down(folder=folder)


def test_port_lost_between_choice_and_start_is_replaced(folder):
    got = lifecycle.up(folder=folder, roles=[role("clumsy", "postgres")])
    assert got.complete
    lifecycle.down(folder=folder)


def test_role_that_ignores_sigterm_is_killed_after_the_timeout(folder):
    lifecycle.up(folder=folder, roles=[role("stuck")])
    lines: list[str] = []
    lifecycle.stop(folder, lines.append, drain=1)
    assert lines == ["stuck: not all ended within 1 s; killed"]
    assert processes.find(folder) == {}


def test_down_keeps_the_data_unless_it_is_wiped(folder):
    lifecycle.up(folder=folder, roles=())
    lifecycle.down(folder=folder)
    assert (folder / "postgres" / "data" / "PG_VERSION").exists()
    lifecycle.down(folder=folder, wipe=True)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_down_of_a_stack_that_never_ran_does_nothing(tmp_path):
    assert lifecycle.down(folder=tmp_path / "never") == []
    assert not (tmp_path / "never").exists()
