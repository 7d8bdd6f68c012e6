"""Starts one part and waits until it is ready.

If another process takes a port first, the part is started again with another port. A part that didn't become ready
must never be left running.
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

POLL_SECONDS = 0.05
_PORT_TRIES = 4
_PORT_TIMEOUT = 5.0
_PORT_IN_USE = re.compile(r"address already in use|Errno 98\b|Errno 48\b", re.IGNORECASE)

Ports = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running process: how to start it and when it is ready.

    Attributes:
        name: of the part.
        ports: wanted ports by purpose; 0: any.
        command: returns the command for the assigned ports.
        ready: returns whether the process with the assigned ports is ready.
        timeout: seconds to become ready.
        prepare: called with the assigned ports before the start.
        finish: called with the assigned ports once the part is ready.
    """

    name: str
    ports: Ports
    command: Callable[[Ports], Command]
    ready: Callable[[Ports], bool]
    timeout: float = 60.0
    prepare: Callable[[Ports], None] = field(default=lambda _: None)
    finish: Callable[[Ports], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Running:
    """A part that is ready: its process, its assigned ports and its log."""

    name: str
    process: psutil.Process
    ports: Ports
    log: Path


class Canceled(StackError):
    """The start was canceled, because another part failed."""


def launch(
    part: Part,
    folder: Path,
    canceled: threading.Event | None = None,
    *,
    previous: Ports | None = None,
    avoid: Container[int] = (),
) -> Running:
    """Start `part` of the stack in `folder`; return when it is ready.

    Args:
        part: what to start.
        folder: of the stack.
        canceled: set to stop the start.
        previous: ports that it had, by purpose; it gets them again unless another process uses them.
        avoid: ports of other parts, which it doesn't get.

    Raises:
        PartFailed: it ended, or wasn't ready within its timeout; it was killed.
        Canceled: `canceled` was set; it was killed.
    """
    stop = canceled or threading.Event()
    log = folder / "logs" / f"{part.name}.log"
    _clear(part.name, folder)
    _rotate(log)
    for attempt in range(1, _PORT_TRIES + 1):
        assigned = _choose_ports(part, previous or {}, avoid)
        try:
            part.prepare(assigned)
            process = processes.spawn(part.command(assigned), folder=folder, part=part.name, log=log)
            _await_ready(part, assigned, process, log, stop)
            part.finish(assigned)
        except PartFailed:
            _clear(part.name, folder)
            # The whole log, because a panic prints its cause before its stack trace.
            if attempt == _PORT_TRIES or not _PORT_IN_USE.search(log.read_text(errors="replace")):
                raise
            _rotate(log)
        except BaseException:
            _clear(part.name, folder)
            raise
        else:
            return Running(part.name, process, assigned, log)
        finally:
            # The part has bound its ports, or needs them no more.
            for port in assigned.values():
                ports.release(port)
    raise AssertionError("the last attempt returns or raises")


def run_job(name: str, command: Command, folder: Path, canceled: threading.Event | None = None) -> None:
    """Run a command to its end.

    Args:
        name: of its log and of its processes.
        command: what to run.
        folder: of the stack.
        canceled: set to stop it.

    Raises:
        PartFailed: its exit status isn't 0.
        Canceled: `canceled` was set; it was killed.
    """
    stop = canceled or threading.Event()
    log = folder / "logs" / f"{name}.log"
    _rotate(log)
    process = processes.spawn(command, folder=folder, part=name, log=log)
    try:
        while (status := processes.exit_status(process)) is None:
            if stop.wait(POLL_SECONDS):
                raise Canceled(f"{name} was canceled")
    finally:
        _clear(name, folder)
    if status != 0:
        raise PartFailed(name, f"it ended with status {status}", log)


def wait_until(probe: Callable[[], bool], timeout: float) -> bool:
    """Call `probe` every 50 ms until it returns True or `timeout` seconds are over; return its last result."""
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def get(url: str, context: ssl.SSLContext | None = None, *, timeout: float = 1) -> tuple[int, str] | None:
    """Return the status and the text of the response to a GET; None if there is none in time.

    Args:
        url: of a part.
        context: TLS settings of a part with its own certificates.
        timeout: of each read, in seconds.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout, context=context) as response:  # noqa: S310 - our own addresses
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error, suppress(OSError, http.client.HTTPException):
            return error.code, error.read().decode(errors="replace")
        return None
    except (OSError, http.client.HTTPException):
        return None


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Return whether the response to a GET of `url` is 200, within a second."""
    response = get(url, context)
    return response is not None and response[0] == http.HTTPStatus.OK


def _choose_ports(part: Part, previous: Ports, avoid: Container[int]) -> Ports:
    assigned = {}
    for purpose, default in part.ports.items():
        if purpose in previous:
            assigned[purpose] = ports.choose(previous[purpose], avoid=avoid, timeout=_PORT_TIMEOUT)
        else:
            assigned[purpose] = ports.choose(default, avoid=avoid)
    return assigned


def _await_ready(part: Part, assigned: Ports, process: psutil.Process, log: Path, stop: threading.Event) -> None:
    deadline = time.monotonic() + part.timeout
    while True:
        if not processes.alive(process):
            raise PartFailed(part.name, "it ended while starting", log)
        # Another process may have taken the port, and answer the probe.
        if part.ready(assigned) and processes.listening(process) >= set(assigned.values()):
            return
        if stop.is_set():
            raise Canceled(f"{part.name} was canceled")
        if time.monotonic() > deadline:
            raise PartFailed(part.name, f"it wasn't ready within {part.timeout:.0f} s", log)
        time.sleep(POLL_SECONDS)


def _clear(name: str, folder: Path) -> None:
    """Kill the processes of an earlier start of this part, such as children of a killed parent."""
    for left in processes.find(folder, name).values():
        processes.end(left, by=signal.SIGKILL, timeout=5)


def _rotate(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
