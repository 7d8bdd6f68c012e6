"""Starts one part and waits until it is ready.

The stack starts all its parts this way and the test harness the few it needs. A port that was
taken in the meantime is replaced by another one. It must never leave a part running that didn't
get ready.
"""

from __future__ import annotations

import http.client
import re
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from orderfleet_local.stack import ports, processes
from orderfleet_local.stack.errors import PartFailed, StackError
from orderfleet_local.stack.processes import Command

STEP = 0.05
_PORT_TRIES = 4
_SECONDS_TO_FREE_A_PORT = 5.0
_TAKEN = re.compile(r"address already in use|Errno 98\b|Errno 48\b", re.IGNORECASE)

Ports = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running process: how to start it and how to see that it is ready.

    `ports` are the wanted ports by purpose (0: any). `prepare` runs before it starts, `finish`
    after it is ready; both get the ports. `bound` is the time to get ready, in seconds.
    """

    name: str
    ports: Ports
    command: Callable[[Ports], Command]
    ready: Callable[[Ports], bool]
    bound: float = 60.0
    prepare: Callable[[Ports], None] = field(default=lambda _: None)
    finish: Callable[[Ports], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Running:
    """A part that is ready: its process, the ports it got and its log."""

    name: str
    process: psutil.Process
    ports: Ports
    log: Path


class Cancelled(StackError):
    """Another part failed, so this one needn't get ready any more."""


def launch(
    part: Part,
    folder: Path,
    cancelled: threading.Event | None = None,
    *,
    before: Ports | None = None,
    avoid: Container[int] = (),
) -> Running:
    """Start `part` of the stack in `folder`; return when it is ready.

    Args:
        part: what to start.
        folder: of the stack.
        cancelled: set when it needn't get ready any more.
        before: the ports that it had by purpose; it gets them again unless another process has taken them.
        avoid: ports of other parts, which it doesn't get.

    Raises:
        PartFailed: it ended, or wasn't ready within its bound; nothing of it runs then.
        Cancelled: `cancelled` was set meanwhile; nothing of it runs then.
    """
    stop = cancelled or threading.Event()
    log = folder / "logs" / f"{part.name}.log"
    _clear(part.name, folder)
    _rotate(log)
    for attempt in range(1, _PORT_TRIES + 1):
        given = _choose_ports(part, before or {}, avoid)
        try:
            part.prepare(given)
            process = processes.spawn(part.command(given), folder=folder, part=part.name, log=log)
            _await_ready(part, given, process, log, stop)
            part.finish(given)
        except PartFailed:
            _clear(part.name, folder)
            # The whole log: a panic says why before it shows where.
            if attempt == _PORT_TRIES or not _TAKEN.search(log.read_text(errors="replace")):
                raise
            _rotate(log)
        except BaseException:
            _clear(part.name, folder)
            raise
        else:
            return Running(part.name, process, given, log)
        finally:
            # By now the port is bound, or nobody wants it.
            for port in given.values():
                ports.release(port)
    raise AssertionError("the last attempt returns or raises")


def run_job(name: str, command: Command, folder: Path, cancelled: threading.Event | None = None) -> None:
    """Run `command` of the stack in `folder` to its end.

    Raises:
        PartFailed: it ended with another status than 0.
        Cancelled: `cancelled` was set meanwhile; nothing of it runs then.
    """
    stop = cancelled or threading.Event()
    log = folder / "logs" / f"{name}.log"
    _rotate(log)
    process = processes.spawn(command, folder=folder, part=name, log=log)
    try:
        while (status := processes.exit_status(process)) is None:
            if stop.wait(STEP):
                raise Cancelled(f"{name} wasn't waited for")
    finally:
        _clear(name, folder)
    if status != 0:
        raise PartFailed(name, f"it ended with status {status}", log)


def wait_until(probe: Callable[[], bool], bound: float) -> bool:
    """Ask `probe` every 50 ms until it says yes or `bound` seconds are over; return its word."""
    deadline = time.monotonic() + bound
    while not probe():
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP)
    return True


def get(url: str, context: ssl.SSLContext | None = None, *, timeout: float = 1) -> tuple[int, str] | None:
    """Return the status and the text that a GET of `url` is answered with; None without an answer in time.

    Args:
        url: an address of a part.
        context: for a part with certificates of its own.
        timeout: of each read, in seconds.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout, context=context) as reply:  # noqa: S310 - our own addresses
            return reply.status, reply.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error, suppress(OSError, http.client.HTTPException):
            return error.code, error.read().decode(errors="replace")
        return None
    except (OSError, http.client.HTTPException):
        return None


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a GET of `url` is answered with 200 within a second."""
    reply = get(url, context)
    return reply is not None and reply[0] == http.HTTPStatus.OK


def _choose_ports(part: Part, before: Ports, avoid: Container[int]) -> Ports:
    given = {}
    for purpose, usual in part.ports.items():
        if purpose in before:
            given[purpose] = ports.choose(before[purpose], avoid=avoid, timeout=_SECONDS_TO_FREE_A_PORT)
        else:
            given[purpose] = ports.choose(usual, avoid=avoid)
    return given


def _await_ready(part: Part, given: Ports, process: psutil.Process, log: Path, stop: threading.Event) -> None:
    deadline = time.monotonic() + part.bound
    while True:
        if not processes.alive(process):
            raise PartFailed(part.name, "it ended while starting", log)
        # A foreign server that was faster to take a port may answer the probe.
        if part.ready(given) and processes.listening(process) >= set(given.values()):
            return
        if stop.is_set():
            raise Cancelled(f"{part.name} wasn't waited for")
        if time.monotonic() > deadline:
            raise PartFailed(part.name, f"it wasn't ready within {part.bound:.0f} s", log)
        time.sleep(STEP)


def _clear(name: str, folder: Path) -> None:
    """End what an earlier start left of this part, such as children whose parent was killed."""
    for left in processes.find(folder, name).values():
        processes.end(left, by=signal.SIGKILL, bound=5)


def _rotate(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
