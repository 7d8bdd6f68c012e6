"""Parts keep their ports, whichever of them are killed, until `down`."""

from __future__ import annotations

import itertools
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from orderfleet_local.stack import lifecycle, ports, processes, state
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import get
from orderfleet_local.stack.roles import Role
from orderfleet_local.stack.state import StackState
from stack.fake_stack import role
from support.stack_folders import stack_folder

# The tests share a stack, so they run in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ports")]

ROLES = (role("well"), role("lingering"))
PARTS = ("postgres", "temporal", "etcd", "kube-apiserver", "well", "lingering")
DEFAULT_PORTS = {15432, 7233, 8233, 12379, 16443}
SUBSETS = [subset for size in range(2, len(PARTS)) for subset in itertools.combinations(PARTS, size)]
SOME = [("temporal", "well"), ("postgres", "temporal"), ("etcd", "kube-apiserver", "lingering"), PARTS[:4]]


@contextmanager
def _default_ports_in_use() -> Iterator[None]:
    """Use the default ports: a stack on one of them would lose it to another stack while its part is killed."""
    with ExitStack() as stack:
        for port in DEFAULT_PORTS:
            blocker = stack.enter_context(socket.socket())
            blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                blocker.bind((ports.HOST, port))
                blocker.listen()
        yield


def _ports(stack: StackState) -> set[int]:
    return {port for part in stack.parts.values() for port in part.ports.values()}


def _up_on_other_ports(folder: Path, roles: Sequence[Role]) -> StackState:
    """Start a stack without default ports."""
    while True:
        with _default_ports_in_use():
            started = lifecycle.up(folder=folder, roles=roles)
        if DEFAULT_PORTS.isdisjoint(_ports(started)):
            return started
        # Another stack had the port when it was to be used here, and left it before this stack chose its ports.
        lifecycle.down(folder=folder)


@pytest.fixture(scope="module")
def running_stack() -> Iterator[StackState]:
    """Yield a stack without default ports."""
    with stack_folder() as folder:
        yield _up_on_other_ports(folder, ROLES)


def _kill(running_stack: StackState, *parts: str) -> None:
    """Kill the parts' processes, but not their children, and don't wait until they have ended."""
    current = state.load(running_stack.folder)
    assert current is not None
    for part in parts:
        for process in processes.find(running_stack.folder, part)[part]:
            if process.pid == current.parts[part].pid:
                process.send_signal(signal.SIGKILL)


def _assert_same_ports(running_stack: StackState, again: StackState, lines: list[str]) -> None:
    assert {name: part.ports for name, part in again.parts.items()} == {
        name: part.ports for name, part in running_stack.parts.items()
    }
    assert [line for line in lines if "is in use" in line] == []
    for name in ("well", "lingering"):
        assert get(f"{again.parts[name].url}/readyz") is not None


def _up(running_stack: StackState) -> None:
    lines: list[str] = []
    _assert_same_ports(running_stack, lifecycle.up(lines.append, folder=running_stack.folder, roles=ROLES), lines)


@pytest.mark.parametrize("part", PARTS)
def test_killed_part_keeps_its_ports_and_the_others_keep_running(running_stack, part):
    before = state.load(running_stack.folder)
    assert before is not None
    _kill(running_stack, part)
    _up(running_stack)
    after = state.load(running_stack.folder)
    assert after is not None
    assert {name for name, found in after.parts.items() if found != before.parts[name]} == {part}


@pytest.mark.parametrize("parts", SOME, ids="+".join)
def test_parts_killed_together_keep_their_ports(running_stack, parts):
    _kill(running_stack, *parts)
    _up(running_stack)


@pytest.mark.timeout(1200)
def test_every_killed_subset_keeps_its_ports(running_stack):
    for parts in SUBSETS:
        _kill(running_stack, *parts)
        _up(running_stack)


def test_all_parts_killed_keep_their_ports(running_stack):
    _kill(running_stack, *PARTS)
    _up(running_stack)


def test_up_again_keeps_the_ports(running_stack):
    lines: list[str] = []
    _assert_same_ports(
        running_stack, lifecycle.up(lines.append, folder=running_stack.folder, roles=ROLES, again=True), lines
    )


def test_restart_of_all_roles_keeps_the_ports(running_stack):
    lines: list[str] = []
    names = [each.name for each in ROLES]
    again = lifecycle.restart(*names, progress=lines.append, folder=running_stack.folder, roles=ROLES)
    _assert_same_ports(running_stack, again, lines)


def test_restart_of_all_parts_keeps_the_ports(running_stack):
    lines: list[str] = []
    again = lifecycle.restart(*PARTS, progress=lines.append, folder=running_stack.folder, roles=ROLES)
    _assert_same_ports(running_stack, again, lines)


def test_failed_up_keeps_the_ports(running_stack):
    _kill(running_stack, *PARTS)
    with pytest.raises(PartFailed):
        lifecycle.up(folder=running_stack.folder, roles=(*ROLES, role("broken")))
    assert state.load(running_stack.folder) is None
    _up(running_stack)


def test_second_stack_has_other_ports(running_stack):
    # Killed, so that its ports are free.
    _kill(running_stack, *PARTS)
    _up(running_stack)
    with stack_folder() as folder:
        other = _up_on_other_ports(folder, (role("well"),))
        assert not _ports(running_stack) & _ports(other)
        # Each of them restarts while the other one runs.
        _kill(running_stack, "temporal", "well")
        _kill(other, "temporal", "well")
        _up(running_stack)
        again = lifecycle.up(folder=folder, roles=(role("well"),))
        assert {name: part.ports for name, part in again.parts.items()} == {
            name: part.ports for name, part in other.parts.items()
        }
        lifecycle.down(folder=folder)


def test_down_forgets_the_ports(running_stack):
    lifecycle.down(folder=running_stack.folder)
    assert state.load_ports(running_stack.folder) == {}
