"""One deadline for everything that is done for one request, and the hedged request within it.

The API opens a scope for each request; inside, `remaining` shortens every wait. Without a scope, as in the command
line and the operator, each wait has its own full length.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final, TypeVar

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""Longest wait for Temporal or Postgres, without a worker."""
ANSWER_TIMEOUT: Final = timedelta(seconds=2)
"""Longest wait for a worker's answer."""


First = TypeVar("First")
Second = TypeVar("Second")


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


_SLOW: Final = 0.25
"""Share of the timeout after which the first source counts as slow."""


async def hedged(
    first: Coroutine[Any, Any, First],
    second: Callable[[], Coroutine[Any, Any, Second]],
    *,
    accept: Callable[[First], bool],
    seconds: float,
) -> tuple[First | Exception, Second | Exception]:
    """Query two sources of the same answer: `first`, and `second` only if it is needed. No query is left running.

    An accepted result of the first is preferred as long as it arrives in time.

    Args:
        first: starts at once.
        second: starts when the first fails, returns something that is not accepted, or is slow.
        accept: whether the first's result makes the second unnecessary.
        seconds: timeout for both together.

    Returns:
        The result or the exception of each; TimeoutError for one that did not finish or did not start.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    primary = asyncio.ensure_future(first)
    secondary: asyncio.Future[Second] | None = None
    try:
        await asyncio.wait({primary}, timeout=seconds * _SLOW)
        if not _accepted(primary, accept):
            secondary = asyncio.ensure_future(second())
            await asyncio.wait({primary}, timeout=end - clock())
            if not _accepted(primary, accept):
                await asyncio.wait({secondary}, timeout=max(end - clock(), 0))
        result = _outcome(primary)
        if secondary is None:
            return result, TimeoutError()
        return result, _outcome(secondary)
    finally:
        queries = [future for future in (primary, secondary) if future is not None]
        for query in queries:
            query.cancel()
        await asyncio.gather(*queries, return_exceptions=True)


def _accepted(query: asyncio.Future[First], accept: Callable[[First], bool]) -> bool:
    return query.done() and query.exception() is None and accept(query.result())


def _outcome(query: asyncio.Future[First]) -> First | Exception:
    if not query.done():
        return TimeoutError()
    error = query.exception()
    if error is None:
        return query.result()
    if isinstance(error, Exception):
        return error
    raise error
