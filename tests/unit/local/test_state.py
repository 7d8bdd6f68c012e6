"""The state file, the ports and the lock of a stack."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from orderfleet_local.stack import lifecycle, ports, state
from orderfleet_local.stack.errors import Busy, StackError
from orderfleet_local.stack.state import PartState, StackState, load


def test_state_file_returns_what_was_saved(tmp_path):
    part = PartState(7, 1.5, {"grpc": 7233, "ui": 8233, "metrics": 9}, "temporal.log")
    role = PartState(8, 2.5, {"ORDERFLEET_TEMPORAL_METRICS_PORT": 10}, "w.log", "http://127.0.0.1:11")
    written = StackState(tmp_path, complete=True).with_part("temporal", part).with_part("worker", role)
    api = PartState(9, 3.5, {"ORDERFLEET_API_PORT": 12, "ORDERFLEET_HEALTH_PORT": 13}, "a.log", "http://127.0.0.1:12")
    written = written.with_part("api", api)
    state.save(written)
    read = load(tmp_path)
    assert read == written
    assert read.temporal_address == "127.0.0.1:7233"
    assert read.metrics_urls == {
        "temporal": "http://127.0.0.1:9/metrics",
        "worker": "http://127.0.0.1:11/metrics",
        "worker-sdk": "http://127.0.0.1:10/metrics",
        "api": "http://127.0.0.1:13/metrics",
    }
    assert read.api_url == "http://127.0.0.1:12"
    with pytest.raises(StackError, match="no postgres"):
        _ = read.database_url


@pytest.mark.parametrize("content", ["", "{", "[]", '{"parts": {"x": {"unknown": 1}}, "complete": true}'])
def test_invalid_state_file_is_ignored(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    assert load(tmp_path) is None
    assert load(tmp_path / "never") is None


def test_port_in_use_is_replaced():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        used = other.getsockname()[1]
        got = ports.choose(used)
        assert got != used
        ports.release(got)


def test_port_is_reserved_until_it_is_released():
    first = ports.choose(0)
    second = ports.choose(first)
    assert first != second
    ports.release(first)
    assert ports.choose(first) == first
    ports.release(first)
    ports.release(second)


def test_port_that_becomes_free_before_the_timeout_is_chosen():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        used = other.getsockname()[1]
        threading.Timer(0.3, other.close).start()
        assert ports.choose(used, timeout=30) == used
        ports.release(used)


def test_replacement_port_is_not_ephemeral_and_not_avoided():
    avoid = set(range(20000, 32700))
    chosen = {ports.choose(0, avoid=avoid) for _ in range(20)}
    assert len(chosen) == 20
    assert chosen <= set(range(32700, 32768))
    for port in chosen:
        ports.release(port)


def test_ports_file_is_kept_until_down(tmp_path):
    state.save_ports(tmp_path, {"api": {"http": 51491}})
    state.forget(tmp_path)
    assert state.load_ports(tmp_path) == {"api": {"http": 51491}}
    state.forget(tmp_path, ports_too=True)
    assert state.load_ports(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"api": 7}', '{"api": {"http": "x"}}'])
def test_invalid_ports_file_is_ignored(tmp_path, content):
    (tmp_path / "ports.json").write_text(content)
    assert state.load_ports(tmp_path) == {}


def test_lock_names_its_holder_and_is_released_with_it(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from orderfleet_local.stack.lifecycle import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Busy, match=f"process {holder.pid}"), lifecycle.exclusive(tmp_path):
            pass
        holder.kill()
    with lifecycle.exclusive(tmp_path):
        pass
