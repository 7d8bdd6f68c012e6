"""Chooses free TCP ports on 127.0.0.1 for the parts of a stack.

Another process may take a chosen port before the part binds it, so `launch` retries with another one.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Container

HOST = "127.0.0.1"

# Below the ports of outgoing connections on Linux and macOS, so that a stopped part keeps its port.
_ANY = range(20000, 32768)
_POLL_SECONDS = 0.05

_lock = threading.Lock()
_reserved: set[int] = set()


def choose(wanted: int, *, avoid: Container[int] = (), timeout: float = 0) -> int:
    """Return `wanted` if it is free, else any free port, and reserve it in this process.

    Parts that start at the same time have not bound their ports yet, so a port stays reserved until `release`.

    Args:
        wanted: 1 to 65535; 0: any.
        avoid: ports that are not chosen instead of `wanted`.
        timeout: seconds to wait until `wanted` is free. The kernel closes the sockets of a killed process after it
            has removed the process.
    """
    deadline = time.monotonic() + timeout
    while wanted:
        with _lock:
            if wanted not in _reserved and _free(wanted):
                _reserved.add(wanted)
                return wanted
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    with _lock:
        while True:
            port = random.choice(_ANY)  # noqa: S311 - no secret
            if port not in _reserved and port not in avoid and _free(port):
                _reserved.add(port)
                return port


def release(port: int) -> None:
    """End the reservation of `port`."""
    with _lock:
        _reserved.discard(port)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an ended server in TIME_WAIT don't block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
