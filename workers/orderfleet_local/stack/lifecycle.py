"""Starts, stops and restarts a stack; one command at a time, guarded by a lock file.

The kernel releases the lock of a process that dies. The lock must never be held while a stack only runs. The running
processes are found by their mark, not in the state file, and no other process is ended. The product's processes end
first, while the parts that they need to drain still run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from orderfleet_local.provision.progress import ProvisionError
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths, processes, state
from orderfleet_local.stack.apiserver import APISERVER, ETCD
from orderfleet_local.stack.assembly import Assembly, Say, run_steps
from orderfleet_local.stack.errors import AlreadyRunning, Busy, NoSuchPart, NotUp, StackError
from orderfleet_local.stack.launch import wait_until
from orderfleet_local.stack.optional_services import COLLECTOR, OPTIONAL_SERVICES, PROMETHEUS, OptionalService
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.roles import ROLES, Role
from orderfleet_local.stack.state import StackState, find_problem
from orderfleet_local.stack.temporal_server import TEMPORAL


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of the stack in `folder`.

    Raises:
        Busy: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Busy(
                f"another command (process {holder}) is starting or stopping this stack;"
                " wait until it is done and try again"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


# A server that has just been started, or is busy, may respond late.
_RESPONSE_TIMEOUT = 15.0

_BACKING = (POSTGRES, TEMPORAL, ETCD, APISERVER)
# Every other process is one of the product, or a job.
_SHUTDOWN_ORDER = ((APISERVER, TEMPORAL, PROMETHEUS, COLLECTOR), (ETCD,), (POSTGRES,))
_FAST_SHUTDOWN = {POSTGRES: signal.SIGINT}
_SHUTDOWN_TIMEOUT = 10.0
_SEARCHES = 20
# A worker drains for 20 s at most by default.
DRAIN_SECONDS = 25.0

_DATA = ("postgres", "temporal", "etcd", "kubernetes", "prometheus", "otelcol", "logs")
_DATA_FILES = ("state.json", "ports.json", "ledger.db*")


def up(
    progress: Say = lambda _: None,
    *,
    folder: Path | None = None,
    roles: Sequence[Role] = ROLES,
    optional: Sequence[OptionalService] = (),
    fresh: bool = False,
    again: bool = False,
) -> StackState:
    """Start the stack and return its state once every part is ready.

    Parts that run from a complete start are kept, unless they don't respond; processes of an interrupted start are
    ended first. A part keeps its ports until `down`.

    Args:
        progress: called with a line for each step.
        folder: of the stack; by default this checkout's.
        roles: processes of the product.
        optional: optional services; those that are installed are started.
        fresh: stop every part and remove the data first.
        again: stop every part first; data and ports stay.

    Raises:
        AlreadyRunning: every part runs and responds; nothing was done.
        PartFailed: a part didn't become ready; the parts that were started are stopped.
        Busy: another command is starting or stopping this stack.
        StackError: a requirement is missing, such as a tool.
    """
    root = paths.state_dir() if folder is None else folder
    with exclusive(root):
        running = _running_parts(root)
        if fresh or again or not running:
            stop(root, progress)
            state.forget(root)
            running = set()
        if fresh:
            wipe_data(root)
        running -= _unresponsive_parts(root, running, progress)
        installed = _installed(optional)
        if running >= names(roles) | {service.name for service in installed}:
            raise AlreadyRunning("the stack runs already")
        for service in optional:
            if service not in installed:
                progress(f"{service.name} is not started: {service.without}, and run this again")
        return _start(root, roles, running, progress, installed)


def down(progress: Say = lambda _: None, *, folder: Path | None = None, wipe: bool = False) -> list[str]:
    """Stop every process of the stack, and no other; return the names of the parts that ran.

    Args:
        progress: called with a line for each problem.
        folder: of the stack; by default this checkout's.
        wipe: remove data and logs too.

    Raises:
        Busy: another command is starting or stopping this stack.
        StackError: a process can't be stopped.
    """
    root = paths.state_dir() if folder is None else folder
    if not root.exists() and not processes.find(root):
        return []
    with exclusive(root):
        ended = stop(root, progress)
        state.forget(root, ports_too=True)
        if wipe:
            wipe_data(root)
        return ended


def restart(
    *parts: str, progress: Say = lambda _: None, folder: Path | None = None, roles: Sequence[Role] = ROLES
) -> StackState:
    """Stop these parts gracefully and start them again on the same ports; return the state.

    Args:
        *parts: their names.
        progress: called with a line for each step.
        folder: of the stack; by default this checkout's.
        roles: processes of the product.

    Raises:
        NotUp: the stack isn't running.
        NoSuchPart: a name is unknown; the message lists the parts.
        StackError: as for `up`.
    """
    root = paths.state_dir() if folder is None else folder
    known = state.load(root)
    # An optional service can be restarted if this stack has started it.
    optional = _installed([service for service in OPTIONAL_SERVICES if known and service.name in known.parts])
    available = names(roles) | {service.name for service in optional}
    for name in parts:
        if name not in available:
            raise NoSuchPart(f"there is no {name}; there are {', '.join(sorted(available))}")
    with exclusive(root):
        running = _running_parts(root)
        if not running:
            raise NotUp
        stop(root, progress, parts=parts)
        return _start(root, roles, running - set(parts), progress, optional)


def names(roles: Sequence[Role] = ROLES) -> set[str]:
    """Return the names of all parts of a stack with these roles, without optional services."""
    return {*_BACKING, *(role.name for role in roles)}


def _running_parts(root: Path) -> set[str]:
    """Return the names of the running parts; empty unless the stack was started completely."""
    known = state.load(root)
    if known is None or not known.complete:
        return set()
    pids = {name: part.pid for name, part in known.parts.items()}
    # The part itself, not only a child process of it.
    return {
        name for name, found in processes.find(root).items() if any(process.pid == pids.get(name) for process in found)
    }


def _unresponsive_parts(root: Path, running: set[str], progress: Say) -> set[str]:
    """Return the running parts that don't respond within the timeout."""
    known = state.load(root)
    parts = {name: part for name, part in known.parts.items() if name in running} if known else {}
    problems: dict[str, str] = {}

    def all_respond() -> bool:
        results = {name: find_problem(root, name, parts[name]) for name in problems or parts}
        problems.clear()
        problems.update({name: problem for name, problem in results.items() if problem is not None})
        return not problems

    if not wait_until(all_respond, _RESPONSE_TIMEOUT):
        for name, problem in problems.items():
            progress(f"{name} runs but does not respond: {problem}; it is restarted")
    return set(problems)


def _installed(optional: Sequence[OptionalService]) -> dict[OptionalService, Path]:
    """Return the services that are installed, with their programs."""
    found = {service: service.find() for service in optional}
    return {service: program for service, program in found.items() if program is not None}


def _start(
    root: Path, roles: Sequence[Role], running: set[str], progress: Say, optional: Mapping[OptionalService, Path]
) -> StackState:
    try:
        tools = provide()
    except ProvisionError as error:
        raise StackError(str(error)) from error
    known = state.load(root)
    kept = running | names(roles) | {service.name for service in optional}
    parts = {name: part for name, part in known.parts.items() if name in kept} if known else {}
    initial = StackState(root, complete=bool(running), parts=parts)
    assembly = Assembly(root, tools, roles, initial, running, progress, state.load_ports(root), optional)
    try:
        run_steps(assembly.steps())
    except BaseException:
        progress("stopping the parts that were started")
        for name in reversed(assembly.started):
            for found in processes.find(root, name).values():
                processes.end(found, by=signal.SIGKILL, timeout=5)
        if not running:
            stop(root, progress)
            state.forget(root)
        raise
    complete = assembly.completed()
    state.save(complete)
    return complete


def stop(folder: Path, say: Say, *, parts: Container[str] | None = None, drain: float = DRAIN_SECONDS) -> list[str]:
    """End all processes of a stack, or those of some parts; return the names of the parts that ran.

    Args:
        folder: of the stack.
        say: called with a line for each part that had to be killed.
        parts: their names; None: all.
        drain: seconds that the product's processes have to end.

    Raises:
        StackError: a process can't be ended.
    """
    running = {name: found for name, found in processes.find(folder).items() if parts is None or name in parts}
    backing = {name for names in _SHUTDOWN_ORDER for name in names}
    roles = tuple(name for name in running if name not in backing)
    for names, timeout in ((roles, drain), *((names, _SHUTDOWN_TIMEOUT) for names in _SHUTDOWN_ORDER)):
        _end(names, running, timeout, say)
    if parts is None:
        _kill_remaining(folder)
    return list(running)


def wipe_data(folder: Path) -> None:
    """Remove the data, logs and state of a stopped stack."""
    for name in _DATA:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in _DATA_FILES:
        for path in folder.glob(pattern):
            path.unlink()


def _end(names: tuple[str, ...], running: dict[str, list[psutil.Process]], timeout: float, say: Say) -> None:
    group = [process for name in names for process in running.get(name, [])]
    if not group:
        return
    by = next((_FAST_SHUTDOWN[name] for name in names if name in _FAST_SHUTDOWN), signal.SIGTERM)
    if not processes.end(group, by=by, timeout=timeout):
        say(f"{', '.join(names)}: not all ended within {timeout:.0f} s; killed")


def _kill_remaining(folder: Path) -> None:
    """Kill processes that started during the shutdown, until two searches in a row find none."""
    clean = 0
    for _ in range(_SEARCHES):
        left = [process for found in processes.find(folder).values() for process in found]
        if left:
            processes.end(left, by=signal.SIGKILL, timeout=1)
        clean = 0 if left else clean + 1
        if clean == 2:  # noqa: PLR2004 - as the docstring says
            return
    raise StackError(f"processes of {folder} can't be ended; find them with `ps`")
