"""Runs a role as a process: its event loop, its stop request on SIGTERM or SIGINT, and its ports.

A role's coroutine receives a `Stop` and returns when it has drained; the process then exits 0.
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
    """A request to stop, from a signal or from the process itself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def request(self, reason: str) -> None:
        """Request that the role drains and returns; only the first reason is logged."""
        if not self._event.is_set():
            structlog.get_logger().info("stopping", reason=reason)
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()

    async def wait(self, *work: asyncio.Future[Any]) -> None:
        """Return when a stop is requested, or one of the futures is done."""
        requested = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait([requested, *work], return_when=asyncio.FIRST_COMPLETED)
        finally:
            requested.cancel()


def listen_for_signals(stop: Stop) -> None:
    """Make SIGTERM and SIGINT request the stop. Call it again after a library has installed handlers of its own."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request, signal.Signals(number).name)


def run_role(role: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
    """Run a role until it returns; SIGTERM and SIGINT request its stop."""

    async def main() -> None:
        stop = Stop()
        listen_for_signals(stop)
        await role(stop)

    uvloop.run(main())


class PortUnavailable(OrderfleetError):
    """The process can't listen on the configured address and port."""


def open_port(host: str, port: int, setting: str) -> socket.socket:
    """A socket that listens on the port.

    Args:
        host: to listen on.
        port: to listen on; 0 for a free one.
        setting: how the names of the variables that set both begin, after the prefix.

    Raises:
        PortUnavailable: the process can't listen there; the message names the variables.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise PortUnavailable(
            f"can't listen on {host}:{port}: {_reason(error)}; set {PREFIX}{setting}_HOST or {PREFIX}{setting}_PORT"
        ) from None


def _reason(error: OSError) -> str:
    # The text of Python's error repeats the address.
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)
