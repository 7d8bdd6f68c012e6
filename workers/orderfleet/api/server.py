"""How a process serves HTTP until it is asked to stop. The API and the codec server do it alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from orderfleet.api.connections import BoundedConfig
from orderfleet.runtime.process import Stop
from orderfleet.runtime.settings import Settings

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Leaves SIGTERM and SIGINT to the process, which asks for a stop the same way in every role."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _nothing() -> None:
    pass


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: Stop,
    settings: Settings,
    *,
    draining: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Serve `app` until asked to stop, then finish open requests within the drain bound.

    Args:
        app: to serve.
        listener: takes its connections.
        stop: ends it.
        settings: of the process.
        draining: called once it is to stop, while requests are still open.
    """
    server = _Server(
        BoundedConfig(
            app,
            connections=settings.api_connections,
            read_timeout=settings.api_read_timeout,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout.total_seconds())),
        )
    )
    address, port = listener.getsockname()[:2]
    _log.info("serving", address=address, port=port)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await draining()
    server.should_exit = True
    await serving
    _log.info("drained")
