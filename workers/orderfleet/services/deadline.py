"""One deadline for everything that is done for one request, however many services it calls in sequence.

The API opens a scope for each request; inside, `remaining` shortens every wait. Without a scope, as in the command
line and the operator, each wait has its own full length.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""Longest wait for Temporal or Postgres, without a worker."""
ANSWER_TIMEOUT: Final = timedelta(seconds=2)
"""Longest wait for a worker's answer."""


class Deadline:
    """A point in time, `seconds` after it is made.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0
        self.restart()

    def restart(self) -> None:
        """Set the deadline again, to its full length from now."""
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(self._end - time.monotonic(), 0.0)


_OPEN: ContextVar[Deadline | None] = ContextVar("orderfleet_deadline", default=None)


@contextmanager
def deadline_scope(deadline: Deadline) -> Iterator[None]:
    """Apply the deadline to all waits inside, those of tasks started inside included."""
    token = _OPEN.set(deadline)
    try:
        yield
    finally:
        _OPEN.reset(token)


def remaining(seconds: float, *, part: float = 1, reserve: float = 0) -> float:
    """A timeout of `seconds`, shortened to what the open deadline scope allows.

    Args:
        seconds: the timeout outside of a scope, and its upper bound inside of one.
        part: share of the scope's remaining time that the wait may use, above 0 and up to 1.
        reserve: seconds of the scope's remaining time that are kept for later calls.

    Returns:
        Seconds, at least 0.
    """
    deadline = _OPEN.get()
    return seconds if deadline is None else min(seconds, max(deadline.left() * part - reserve, 0.0))
