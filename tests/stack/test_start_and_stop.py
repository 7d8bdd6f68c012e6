"""Starting and stopping: interrupted, failing, beside others, and what stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from pretend_stack import eventually, role

from orderfleet_local.stack import apiserver, etcd, lifecycle, postgres, processes, shutdown, state, temporal_server
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.processes import PART_MARK, STACK_MARK


@pytest.mark.parametrize("moment", ["postgres", "kube-apiserver", "well"])
def test_killed_starter_leaves_nothing_that_down_misses(folder, starter, moment):
    run = starter("well")
    eventually(lambda: moment in processes.find(folder))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert lifecycle.down(folder=folder)
    assert processes.find(folder) == {}
    assert state.load(folder) is None


def test_up_after_a_killed_starter_works(folder, starter):
    run = starter("well")
    eventually(lambda: "kube-apiserver" in processes.find(folder))
    left = processes.find(folder)
    run.send_signal(signal.SIGKILL)
    run.wait()
    again = lifecycle.up(folder=folder, roles=[role("well")])
    pids = {part.pid for part in again.parts.values()}
    assert not pids & {process.pid for found in left.values() for process in found}
    lifecycle.down(folder=folder)
    assert processes.find(folder) == {}


def test_interrupted_starter_takes_down_what_it_started(folder, starter):
    run = starter("well")
    eventually(lambda: "kube-apiserver" in processes.find(folder))
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=30)
    assert "taking down what was started" in output
    assert processes.find(folder) == {}


def test_failing_part_is_named_with_the_end_of_its_log(folder):
    with pytest.raises(PartFailed) as failure:
        lifecycle.up(folder=folder, roles=[role("well"), role("broken")])
    assert failure.value.part == "broken"
    assert "broken on purpose" in str(failure.value)
    assert processes.find(folder) == {}


def test_other_stacks_and_look_alikes_are_left_alone(folder, tmp_path):
    data = folder / "postgres"
    lifecycle.up(folder=folder, roles=[role("well")])
    script = role("well").arguments[1]
    look_alikes = [
        # The same command, in the same folder, as a part of another stack and of none.
        {STACK_MARK: str(tmp_path), PART_MARK: "well"},
        {STACK_MARK: f"{folder}-other", PART_MARK: "postgres"},
        {},
    ]
    started = [
        subprocess.Popen(
            [sys.executable, script, "well"], cwd=data, env={**os.environ, "ORDERFLEET_HEALTH_PORT": "0", **marks}
        )
        for marks in look_alikes
    ]
    try:
        ended = lifecycle.down(folder=folder)
        assert set(ended) == {"postgres", "temporal", "etcd", "kube-apiserver", "well"}
        assert [process.poll() for process in started] == [None, None, None]
    finally:
        for process in started:
            process.terminate()
            process.wait()


def test_taken_ports_are_replaced_and_told(folder):
    wanted = {
        postgres.DEFAULT_PORT,
        temporal_server.DEFAULT_PORT,
        temporal_server.DEFAULT_UI_PORT,
        etcd.DEFAULT_PORT,
        apiserver.DEFAULT_PORT,
    }
    squatters, held = [], set()
    for port in wanted:
        squatter = socket.socket()
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatters.append(squatter)
        try:
            squatter.bind(("127.0.0.1", port))
            squatter.listen()
        except OSError:
            continue  # another stack of these tests has it, and may give it back at any time
        held.add(port)
    said: list[str] = []
    try:
        got = lifecycle.up(said.append, folder=folder, roles=())
    finally:
        for squatter in squatters:
            squatter.close()
    assert not held & {port for part in got.parts.values() for port in part.ports.values()}
    told = "\n".join(said)
    assert [port for port in held if f"port {port} is taken" not in told] == []
    lifecycle.down(folder=folder)


def test_port_lost_between_choice_and_start_is_replaced(folder):
    got = lifecycle.up(folder=folder, roles=[role("clumsy", "postgres")])
    assert got.complete
    lifecycle.down(folder=folder)


def test_role_that_ignores_sigterm_is_killed_after_the_bound(folder):
    lifecycle.up(folder=folder, roles=[role("stuck")])
    said: list[str] = []
    shutdown.stop(folder, said.append, drain=1)
    assert said == ["stuck: not all ended within 1 s; killed"]
    assert processes.find(folder) == {}


def test_data_stays_until_it_is_wiped(folder):
    lifecycle.up(folder=folder, roles=())
    lifecycle.down(folder=folder)
    assert (folder / "postgres" / "data" / "PG_VERSION").exists()
    lifecycle.down(folder=folder, wipe=True)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_down_of_what_never_ran_does_nothing(tmp_path):
    assert lifecycle.down(folder=tmp_path / "never") == []
    assert not (tmp_path / "never").exists()
