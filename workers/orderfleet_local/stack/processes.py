"""Processes of a stack: started with a mark, found again by it, and ended.

Everything that starts or stops a process of the stack goes through here. A process belongs to a
stack when its environment carries the stack's mark, which is set at `exec` and inherited, so that
nothing is lost when a starter is killed before it could note a process id. Postgres overwrites
the environment of its backends; those are known by their working folder. It must never signal a
process that isn't known in one of these two ways.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

STACK_MARK = "ORDERFLEET_STACK"
PART_MARK = "ORDERFLEET_STACK_PART"
POSTGRES = "postgres"
_POSTGRES_PROGRAMS = {POSTGRES, "initdb"}
_LOOK_AGAIN = 0.02
_KILLED_SECONDS = 5

# Kept for as long as this process lives, so that ended children are reaped and the interpreter
# doesn't complain about children that are meant to outlive it.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: arguments, additions to the environment, working folder, account (None: ours)."""

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None


def stack_id(folder: Path) -> str:
    """Return the mark of the stack whose state lies in `folder`.

    It is the folder's path, so that the processes are found even when the folder was removed.
    """
    return str(folder.resolve())


def spawn(command: Command, *, folder: Path, part: str, log: Path) -> psutil.Process:
    """Start `command` as `part` of the stack in `folder`, detached, appending to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command.arguments,
            cwd=command.folder,
            env={**os.environ, **command.environment, STACK_MARK: stack_id(folder), PART_MARK: part},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=command.account,
            extra_groups=None if command.account is None else [],
        )
    _children.append(child)
    return psutil.Process(child.pid)


def forget_children() -> None:
    """Forget the children that run on, before an interpreter ends that warns of such."""
    for child in _children:
        if child.poll() is None:
            child.returncode = 0
    _children.clear()


def alive(process: psutil.Process) -> bool:
    """Whether the process runs; one that ended and waits for its parent doesn't."""
    exit_status(process)
    try:
        # A zombie with threads has ended in its first thread only: the others still hold its ports.
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def exit_status(process: psutil.Process) -> int | None:
    """Return the exit status of a process that this one started; None while it runs."""
    statuses = [child.poll() for child in _children if child.pid == process.pid]
    return statuses[-1] if statuses else None


def listening(process: psutil.Process) -> set[int]:
    """Return the TCP ports on which the process or a child of it listens."""
    ports: set[int] = set()
    with suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            connections = each.net_connections(kind="tcp")
            ports |= {found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN}
    return ports


def find(folder: Path, part: str | None = None) -> dict[str, list[psutil.Process]]:
    """Return the living processes of the stack in `folder` by part; only those of `part` if given."""
    mark = stack_id(folder)
    # This process, or the shell it was typed into, may carry a mark when a part started them.
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():
        if pid in own:
            continue
        # Not psutil's process_iter: it keeps processes by id, so one whose id was used before may be
        # left out once, or be taken for the one that is gone.
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            name = _part_of(process, mark)
            if name is not None and part in (None, name):
                found.setdefault(name, []).append(process)
    return found


def leaders(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those whose parent isn't among `processes`: what was started, not its children."""
    members = {process.pid: process for process in processes}
    result = []
    for process in members.values():
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in members:
                result.append(process)
    return result


def end(processes: Iterable[psutil.Process], *, by: signal.Signals, bound: float) -> bool:
    """Send `by` to the leaders, or SIGKILL to all, wait up to `bound` seconds, then kill what is left.

    Returns:
        Whether all ended within the bound.
    """
    everyone = list(processes)
    # A parent that is killed can't end its children.
    for process in everyone if by is signal.SIGKILL else leaders(everyone):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(by)
    left = _outlive(everyone, bound)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _outlive(left, _KILLED_SECONDS)
    return not left


def _outlive(everyone: list[psutil.Process], bound: float) -> list[psutil.Process]:
    """Wait up to `bound` seconds; return those that still run."""
    # Not psutil's own wait: where nobody reaps orphans, that takes an ended one for a living one.
    deadline = time.monotonic() + bound
    while (left := [process for process in everyone if alive(process)]) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN)
    return left


def _part_of(process: psutil.Process, mark: str) -> str | None:
    try:
        environment = process.environ()
        if environment.get(STACK_MARK) == mark:
            return environment.get(PART_MARK, "unknown")
        if STACK_MARK not in environment and process.name() in _POSTGRES_PROGRAMS:
            return POSTGRES if Path(process.cwd()).is_relative_to(mark) else None
    except (psutil.Error, OSError):
        return None
    return None
