"""One command at a time on one stack.

`lifecycle` holds the lock while it starts or stops a stack. The kernel frees the lock of a
process that dies. It must never be held while a stack merely runs.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from orderfleet_local.provision.progress import ProvisionError
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import graph, paths, processes, shutdown, state
from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.assembly import Assembly
from orderfleet_local.stack.errors import AlreadyRunning, Busy, NoSuchPart, NotUp, StackError
from orderfleet_local.stack.etcd import ETCD
from orderfleet_local.stack.launch import wait_until
from orderfleet_local.stack.optional_services import OPTIONAL_SERVICES, OptionalService
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.roles import ROLES, Role
from orderfleet_local.stack.state import StackState
from orderfleet_local.stack.status import find_problem
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


Say = Callable[[str], None]


# A server that has just been started, or is busy, may be late with an answer.
_SECONDS_TO_ANSWER = 15.0


_BACKING = (POSTGRES, TEMPORAL, ETCD, APISERVER)


def up(
    progress: Say = lambda _: None,
    *,
    folder: Path | None = None,
    roles: Sequence[Role] = ROLES,
    offers: Sequence[OptionalService] = (),
    fresh: bool = False,
    again: bool = False,
) -> StackState:
    """Start the stack in `folder` (by default this checkout's) and return when every part is ready.

    Parts that still run from a complete start are kept, unless they answer no calls; what an interrupted
    start left is ended first. A part gets the ports again that it had, until `down`.

    Args:
        progress: called with a line for each step.
        folder: of the stack.
        roles: processes of the product.
        offers: parts that may be left out; those whose program is installed are started.
        fresh: end everything and remove the data first.
        again: end everything first; data and ports stay.

    Raises:
        AlreadyRunning: every part runs and answers; nothing was done.
        PartFailed: a part didn't get ready; what was started is down again.
        Busy: another command is at work on this stack.
        StackError: something it needs is missing, such as a tool.
    """
    place = paths.state_dir() if folder is None else folder
    with exclusive(place):
        living = _living(place)
        if fresh or again or not living:
            shutdown.stop(place, progress)
            state.forget(place)
            living = set()
        if fresh:
            shutdown.wipe(place)
        living -= _not_answering(place, living, progress)
        at_hand = _at_hand(offers)
        if living >= names(roles) | {offer.name for offer in at_hand}:
            raise AlreadyRunning("the stack runs already")
        for offer in offers:
            if offer not in at_hand:
                progress(f"{offer.name} isn't offered: {offer.without}, and run this again")
        return _start(place, roles, living, progress, at_hand)


def down(progress: Say = lambda _: None, *, folder: Path | None = None, wipe: bool = False) -> list[str]:
    """End every process of the stack and no other; return the names of the parts that ran.

    Data stays unless `wipe`.

    Raises:
        Busy: another command is at work on this stack.
        StackError: a process can't be ended.
    """
    place = paths.state_dir() if folder is None else folder
    if not place.exists() and not processes.find(place):
        return []
    with exclusive(place):
        ended = shutdown.stop(place, progress)
        state.forget(place, ports_too=True)
        if wipe:
            shutdown.wipe(place)
        return ended


def restart(
    *parts: str, progress: Say = lambda _: None, folder: Path | None = None, roles: Sequence[Role] = ROLES
) -> StackState:
    """End these parts, as their own `down` would, and start them again on their ports.

    Raises:
        NotUp: there is nothing to restart.
        NoSuchPart: the message lists the parts there are; also what `up` raises.
    """
    place = paths.state_dir() if folder is None else folder
    known = state.load(place)
    # What was offered once is there to be started again.
    offers = _at_hand([offer for offer in OPTIONAL_SERVICES if known and offer.name in known.parts])
    there = names(roles) | {offer.name for offer in offers}
    for name in parts:
        if name not in there:
            raise NoSuchPart(f"there is no {name}; there are {', '.join(sorted(there))}")
    with exclusive(place):
        living = _living(place)
        if not living:
            raise NotUp
        shutdown.stop(place, progress, parts=parts)
        return _start(place, roles, living - set(parts), progress, offers)


def names(roles: Sequence[Role] = ROLES) -> set[str]:
    """Return the names of all parts of a stack with these roles, offers not included."""
    return {*_BACKING, *(role.name for role in roles)}


def _living(place: Path) -> set[str]:
    """Return the parts that run, of a stack whose start was completed; else nothing."""
    known = state.load(place)
    if known is None or not known.complete:
        return set()
    pids = {name: part.pid for name, part in known.parts.items()}
    # The part itself, not just a child that outlived it.
    return {
        name for name, found in processes.find(place).items() if any(process.pid == pids.get(name) for process in found)
    }


def _not_answering(place: Path, living: set[str], progress: Say) -> set[str]:
    """Return those of the `living` parts that answer no calls for a while."""
    known = state.load(place)
    parts = {name: part for name, part in known.parts.items() if name in living} if known else {}
    problems: dict[str, str] = {}

    def all_answer() -> bool:
        asked = {name: find_problem(place, name, parts[name]) for name in problems or parts}
        problems.clear()
        problems.update({name: problem for name, problem in asked.items() if problem is not None})
        return not problems

    if not wait_until(all_answer, _SECONDS_TO_ANSWER):
        for name, problem in problems.items():
            progress(f"{name} runs and answers no calls: {problem}; it is restarted")
    return set(problems)


def _at_hand(offers: Sequence[OptionalService]) -> dict[OptionalService, Path]:
    """Return those whose program is at hand, with it."""
    found = {offer: offer.find() for offer in offers}
    return {offer: program for offer, program in found.items() if program is not None}


def _start(
    place: Path, roles: Sequence[Role], living: set[str], progress: Say, offers: Mapping[OptionalService, Path]
) -> StackState:
    try:
        tools = provide()
    except ProvisionError as error:
        raise StackError(str(error)) from error
    known = state.load(place)
    there = living | names(roles) | {offer.name for offer in offers}
    parts = {name: part for name, part in known.parts.items() if name in there} if known else {}
    begun = StackState(place, complete=bool(living), parts=parts)
    assembly = Assembly(place, tools, roles, begun, living, progress, state.load_ports(place), offers)
    try:
        graph.run(assembly.steps())
    except BaseException:
        progress("taking down what was started")
        for name in reversed(assembly.started):
            for found in processes.find(place, name).values():
                processes.end(found, by=signal.SIGKILL, bound=5)
        if not living:
            shutdown.stop(place, progress)
            state.forget(place)
        raise
    complete = assembly.completed()
    state.save(complete)
    return complete
