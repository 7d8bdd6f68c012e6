"""TCP ports on 127.0.0.1 for the parts of a stack.

`launch` asks here before it starts a part. A port that is free now may be taken a moment later,
so the answer is a good guess and `launch` tries again; it must never be taken for a promise.
"""

from __future__ import annotations

import socket
import threading

HOST = "127.0.0.1"

_lock = threading.Lock()
_given: set[int] = set()


def choose(wanted: int) -> int:
    """Return `wanted` if it is free, else any free port; 0 asks for any.

    A port is given out once per process, because parts that start at the same time haven't
    taken theirs yet. `give_back` makes it available again.
    """
    with _lock:
        if wanted and wanted not in _given and _free(wanted):
            _given.add(wanted)
            return wanted
        while True:
            with socket.socket() as probe:
                probe.bind((HOST, 0))
                port = int(probe.getsockname()[1])
            if port not in _given:
                _given.add(port)
                return port


def give_back(port: int) -> None:
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
