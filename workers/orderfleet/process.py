"""How a role runs as a process: a fast event loop, and SIGTERM or SIGINT as a request to stop.

Called by the command line for every role. A role's coroutine is handed a `Stop` and returns when
it has drained; the process then exits 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import uvloop

from orderfleet.domain.errors import OrderfleetError
from orderfleet.settings.base import PREFIX


class Stop:
    """A request to stop, made by a signal or by the process itself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def request(self, reason: str) -> None:
        """Ask the role to drain and return."""
        if not self._event.is_set():
            structlog.get_logger().info("stopping", reason=reason)
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once somebody asks."""
        await self._event.wait()


def listen_for_signals(stop: Stop) -> None:
    """Let SIGTERM and SIGINT ask for the stop; to be called again after a library took them for itself."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request, signal.Signals(number).name)


def run_role(role: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
    """Run a role until it returns; SIGTERM and SIGINT ask it to stop."""

    async def main() -> None:
        stop = Stop()
        listen_for_signals(stop)
        await role(stop)

    uvloop.run(main())


class PortTaken(OrderfleetError):
    """A process can't listen where it was told to."""


def open_port(host: str, port: int, setting: str) -> socket.socket:
    """Take the port.

    Args:
        host: to listen on.
        port: to listen on; 0 takes a free one.
        setting: how the variables that set them begin, after the prefix.

    Raises:
        PortTaken: it can't be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise PortTaken(
            f"can't listen on {host}:{port}: {_why(error)}; set {PREFIX}{setting}_HOST or {PREFIX}{setting}_PORT"
        ) from None


def _why(error: OSError) -> str:
    # Python's own text repeats the address.
    known = not isinstance(error, socket.gaierror) and error.errno
    return os.strerror(error.errno).lower() if known and error.errno else str(error.strerror or error)
