"""How a role runs as a process: a fast event loop, and SIGTERM or SIGINT as a request to stop.

Called by the command line for every role. A role's coroutine is handed a `Stop` and returns when
it has drained; the process then exits 0.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import uvloop


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


def listen(stop: Stop) -> None:
    """Let SIGTERM and SIGINT ask for the stop; to be called again after a library took them for itself."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request, signal.Signals(number).name)


def run_role(role: Callable[[Stop], Coroutine[Any, Any, None]]) -> None:
    """Run a role until it returns; SIGTERM and SIGINT ask it to stop."""

    async def main() -> None:
        stop = Stop()
        listen(stop)
        await role(stop)

    uvloop.run(main())
