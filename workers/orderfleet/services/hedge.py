"""A hedged request: of two sources of the same answer, the second is queried when the first fails or is slow.

It must never leave a query running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")

_SLOW: Final = 0.25
"""Share of the timeout after which the first source counts as slow."""


async def hedged(
    first: Coroutine[Any, Any, First],
    second: Callable[[], Coroutine[Any, Any, Second]],
    *,
    accept: Callable[[First], bool],
    seconds: float,
) -> tuple[First | Exception, Second | Exception]:
    """Query `first`, and `second` only if it is needed.

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
