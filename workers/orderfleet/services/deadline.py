"""One budget of time for all that is done for one caller, however many parts are asked one after the other.

The API opens one for each request; whoever waits for Temporal, the record or an identity provider takes the
wait out of it by `within`. Where none is open, as in the command line and the operator, a wait is as long as it says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""Longest wait for an answer that needs no worker."""
ANSWER_TIMEOUT: Final = timedelta(seconds=2)
"""Longest wait for a worker's answer."""


class Deadline:
    """So many seconds, from now on.

    Args:
        seconds: how many.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0
        self.begin()

    def begin(self) -> None:
        """Begin anew, with all of it left."""
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds that are left; 0 once it is spent."""
        return max(self._end - time.monotonic(), 0.0)


_OPEN: ContextVar[Deadline | None] = ContextVar("orderfleet_budget", default=None)


@contextmanager
def deadline_scope(budget: Deadline) -> Iterator[None]:
    """Have all waits inside come out of this budget."""
    token = _OPEN.set(budget)
    try:
        yield
    finally:
        _OPEN.reset(token)


def remaining(seconds: float, *, part: float = 1, reserve: float = 0) -> float:
    """A wait of `seconds`, shortened to what the budget still allows.

    Args:
        seconds: the wait where there is budget enough, or none is open.
        part: of what is left, how much it may take.
        reserve: seconds of the budget that it must leave for what comes after.
    """
    budget = _OPEN.get()
    return seconds if budget is None else min(seconds, max(budget.left() * part - reserve, 0.0))
