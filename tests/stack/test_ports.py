"""Ports stay what they were, whatever was killed; `down` gives them back."""

from __future__ import annotations

import itertools
import signal
import socket
from collections.abc import Iterator

import pytest
from pretend_stack import role, stack_folder

from orderfleet_local.stack import lifecycle, ports, processes, state
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import get
from orderfleet_local.stack.state import StackState

# One stack for all of them, so one worker for all of them.
pytestmark = pytest.mark.xdist_group("ports")

ROLES = (role("well"), role("lingering"))
PARTS = ("postgres", "temporal", "etcd", "kube-apiserver", "well", "lingering")
SUBSETS = [subset for size in range(2, len(PARTS)) for subset in itertools.combinations(PARTS, size)]
SOME = [("temporal", "well"), ("postgres", "temporal"), ("etcd", "kube-apiserver", "lingering"), PARTS[:4]]


@pytest.fixture(scope="module")
def running() -> Iterator[StackState]:
    """A stack on none of the usual ports: another one may have them, and may give them back at any time."""
    usual = (15432, 7233, 8233, 12379, 16443)
    squatters = [socket.socket() for _ in usual]
    with stack_folder() as folder:
        for squatter, port in zip(squatters, usual, strict=True):
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                squatter.bind((ports.HOST, port))
                squatter.listen()
            except OSError:
                continue
        try:
            started = lifecycle.up(folder=folder, roles=ROLES)
        finally:
            for squatter in squatters:
                squatter.close()
        yield started


def _kill(running: StackState, *parts: str) -> None:
    """As `kill -9` of the parts' processes: nothing waits for the end of one, and children are left."""
    now = state.load(running.folder)
    assert now is not None
    for part in parts:
        for process in processes.find(running.folder, part)[part]:
            if process.pid == now.parts[part].pid:
                process.send_signal(signal.SIGKILL)


def _assert_same_ports(running: StackState, again: StackState, said: list[str]) -> None:
    assert {name: part.ports for name, part in again.parts.items()} == {
        name: part.ports for name, part in running.parts.items()
    }
    assert [line for line in said if "is taken" in line] == []
    for name in ("well", "lingering"):
        assert get(f"{again.parts[name].url}/readyz") is not None


def _up(running: StackState) -> None:
    said: list[str] = []
    _assert_same_ports(running, lifecycle.up(said.append, folder=running.folder, roles=ROLES), said)


@pytest.mark.parametrize("part", PARTS)
def test_part_killed_comes_back_on_its_ports_and_the_others_are_kept(running, part):
    before = state.load(running.folder)
    assert before is not None
    _kill(running, part)
    _up(running)
    after = state.load(running.folder)
    assert after is not None
    assert {name for name, found in after.parts.items() if found != before.parts[name]} == {part}


@pytest.mark.parametrize("parts", SOME, ids="+".join)
def test_parts_killed_together_come_back_on_their_ports(running, parts):
    _kill(running, *parts)
    _up(running)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_subset_killed_comes_back_on_its_ports(running):
    for parts in SUBSETS:
        _kill(running, *parts)
        _up(running)


def test_every_part_killed_comes_back_on_its_ports(running):
    _kill(running, *PARTS)
    _up(running)


def test_up_that_starts_everything_again_keeps_the_ports(running):
    said: list[str] = []
    _assert_same_ports(running, lifecycle.up(said.append, folder=running.folder, roles=ROLES, again=True), said)


def test_restart_of_all_roles_keeps_the_ports(running):
    said: list[str] = []
    names = [each.name for each in ROLES]
    again = lifecycle.restart(*names, progress=said.append, folder=running.folder, roles=ROLES)
    _assert_same_ports(running, again, said)


def test_restart_of_all_parts_keeps_the_ports(running):
    said: list[str] = []
    again = lifecycle.restart(*PARTS, progress=said.append, folder=running.folder, roles=ROLES)
    _assert_same_ports(running, again, said)


def test_failed_up_keeps_the_ports_for_the_next(running):
    _kill(running, *PARTS)
    with pytest.raises(PartFailed):
        lifecycle.up(folder=running.folder, roles=(*ROLES, role("broken")))
    assert state.load(running.folder) is None
    _up(running)


def test_second_stack_has_ports_of_its_own(running):
    # Killed, so that its ports are free.
    _kill(running, *PARTS)
    _up(running)
    with stack_folder() as folder:
        other = lifecycle.up(folder=folder, roles=(role("well"),))
        mine = {port for part in running.parts.values() for port in part.ports.values()}
        assert not mine & {port for part in other.parts.values() for port in part.ports.values()}
        # Each of them comes back beside the other one.
        _kill(running, "temporal", "well")
        _kill(other, "temporal", "well")
        _up(running)
        again = lifecycle.up(folder=folder, roles=(role("well"),))
        assert {name: part.ports for name, part in again.parts.items()} == {
            name: part.ports for name, part in other.parts.items()
        }
        lifecycle.down(folder=folder)


def test_down_gives_the_ports_back(running):
    lifecycle.down(folder=running.folder)
    assert state.load_ports(running.folder) == {}
