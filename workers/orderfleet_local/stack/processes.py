"""Starts, finds and ends the processes of a stack.

A process belongs to a stack if its environment has the stack's mark. The mark is set at `exec` and inherited, so that
a process is found even if its starter was killed before it recorded the process id. Postgres overwrites the
environment of its backends; they are found by their working folder. A process that isn't found in one of these two
ways must never be signaled.
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
_POLL_SECONDS = 0.02
_KILL_TIMEOUT = 5

# The list keeps children until this process ends, so that ended ones are reaped, and the interpreter doesn't warn about
# those that still run.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Command:
    """A command: arguments, working folder, additional environment, account (None: that of this process)."""

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None


def stack_id(folder: Path) -> str:
    """Return the mark of the stack in `folder`.

    It is the folder's path, so that the processes are found even if the folder was removed.
    """
    return str(folder.resolve())


def spawn(command: Command, *, folder: Path, part: str, log: Path) -> psutil.Process:
    """Start a detached process.

    Args:
        command: what to run.
        folder: of the stack.
        part: name of the part that it belongs to.
        log: file that its output is appended to.
    """
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
    """Forget the children that still run, so that the interpreter doesn't warn about them when it ends."""
    for child in _children:
        if child.poll() is None:
            child.returncode = 0
    _children.clear()


def alive(process: psutil.Process) -> bool:
    """Return whether the process runs; a zombie doesn't."""
    exit_status(process)
    try:
        # In a zombie with several threads only the first has ended; the others still hold the process's ports.
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
    """Return the running processes of the stack in `folder` by part.

    Args:
        folder: of the stack.
        part: only the processes of this part.
    """
    mark = stack_id(folder)
    # This process and its parents may have the mark if a part started them.
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():
        if pid in own:
            continue
        # psutil.process_iter caches processes by id: it may leave out a process with a reused id, or confuse it with
        # the ended one.
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            name = _part_of(process, mark)
            if name is not None and part in (None, name):
                found.setdefault(name, []).append(process)
    return found


def leaders(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the processes whose parent isn't among `processes`."""
    members = {process.pid: process for process in processes}
    result = []
    for process in members.values():
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in members:
                result.append(process)
    return result


def end(processes: Iterable[psutil.Process], *, by: signal.Signals, timeout: float) -> bool:
    """End processes by a signal; kill those that still run after the timeout.

    Args:
        processes: to end.
        by: the signal; SIGKILL is sent to all, another signal to the leaders only.
        timeout: in seconds.

    Returns:
        Whether all ended within the timeout.
    """
    targets = list(processes)
    # A parent that is killed can't end its children.
    for process in targets if by is signal.SIGKILL else leaders(targets):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(by)
    left = _still_running(targets, timeout)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _still_running(left, _KILL_TIMEOUT)
    return not left


def _still_running(targets: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait up to `timeout` seconds; return those that still run."""
    # Where no process reaps orphans, psutil.wait_procs reports an ended one as running.
    deadline = time.monotonic() + timeout
    while (left := [process for process in targets if alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
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
