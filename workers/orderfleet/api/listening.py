"""How a process takes a port and serves HTTP on it. The API and the codec server do it alike."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.runtime.settings import PREFIX, Settings


class PortTaken(OrderfleetError):
    """A process can't listen where it was told to."""


class _Server(uvicorn.Server):
    """Leaves SIGTERM and SIGINT to the process, which asks for a stop the same way in every role."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The server of `app`; what it has begun when it is to stop it may finish within the drain bound."""
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout.total_seconds())),
        )
    )


def listen(host: str, port: int, setting: str) -> socket.socket:
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
