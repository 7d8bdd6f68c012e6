"""Two that can tell the same, and one answer in time: the second is asked when the first fails or is slow.

The desk asks workflow and record this way. It must leave nothing running behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")

_SLOW: Final = 0.25
"""Part of the patience after which the first is slow."""


async def hedged(
    first: Coroutine[Any, Any, First],
    second: Callable[[], Coroutine[Any, Any, Second]],
    *,
    good: Callable[[First], bool],
    patience: float,
) -> tuple[First | Exception, Second | Exception]:
    """What both say; an exception is an answer too, and TimeoutError the one that didn't come.

    The first's good answer is waited for as long as there is patience; the second then says nothing.

    Args:
        first: asked at once.
        second: asked when the first fails, says nothing good, or is slow.
        good: whether what the first says is enough.
        patience: seconds, for both together.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + patience
    asked = asyncio.ensure_future(first)
    also: asyncio.Future[Second] | None = None
    try:
        await asyncio.wait({asked}, timeout=patience * _SLOW)
        if not _is_good(asked, good):
            also = asyncio.ensure_future(second())
            await asyncio.wait({asked}, timeout=end - clock())
            if not _is_good(asked, good):
                await asyncio.wait({also}, timeout=max(end - clock(), 0))
        said = _outcome(asked)
        if also is None:
            return said, TimeoutError()
        return said, _outcome(also)
    finally:
        left = [future for future in (asked, also) if future is not None]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _is_good(asked: asyncio.Future[First], good: Callable[[First], bool]) -> bool:
    return asked.done() and asked.exception() is None and good(asked.result())


def _outcome(asked: asyncio.Future[First]) -> First | Exception:
    if not asked.done():
        return TimeoutError()
    error = asked.exception()
    if error is None:
        return asked.result()
    if isinstance(error, Exception):
        return error
    raise error
