"""How a process takes a port. API, codec server and health port do it alike."""

from __future__ import annotations

import os
import socket

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.runtime.settings import PREFIX


class PortTaken(OrderfleetError):
    """A process can't listen where it was told to."""


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
