"""TCP ports on 127.0.0.1 for the parts of a stack.

`launch` asks here before it starts a part. A port that is free now may be taken a moment later,
so the answer is a good guess and `launch` tries again; it must never be taken for a promise.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Container

HOST = "127.0.0.1"

# Below those that Linux and macOS give to outgoing connections: a part that is down keeps its port.
_ANY = range(20000, 32768)
_STEP = 0.05

_lock = threading.Lock()
_given: set[int] = set()


def choose(wanted: int, *, avoid: Container[int] = (), timeout: float = 0) -> int:
    """Return `wanted` if it is free, else any free port; 0 asks for any.

    A port is given out once per process, because parts that start at the same time haven't
    taken theirs yet. `release` makes it available again.

    Args:
        wanted: 1 to 65535, or 0.
        avoid: ports that are not given out in place of `wanted`.
        timeout: how long to wait for `wanted` to be free, in seconds. The kernel closes the sockets of a
            killed process a little after the process is gone from the process table.
    """
    deadline = time.monotonic() + timeout
    while wanted:
        with _lock:
            if wanted not in _given and _free(wanted):
                _given.add(wanted)
                return wanted
        if time.monotonic() >= deadline:
            break
        time.sleep(_STEP)
    with _lock:
        while True:
            port = random.choice(_ANY)  # noqa: S311 - no secret
            if port not in _given and port not in avoid and _free(port):
                _given.add(port)
                return port


def release(port: int) -> None:
    """Let `port` be given out again: whoever had it has ended."""
    with _lock:
        _given.discard(port)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an ended server that wait to time out don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
