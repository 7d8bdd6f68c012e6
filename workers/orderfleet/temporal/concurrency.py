"""Bounds how many calls an activity makes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def limited(call: Callable[[T], Awaitable[R]], limit: int, beat: Callable[[], None]) -> Callable[[T], Awaitable[R]]:
    """Bound the concurrent calls of a function.

    Args:
        call: the function.
        limit: calls at the same time, at least 1.
        beat: called after each call, also after a failed one; sends the activity's heartbeat.

    Returns:
        A function that waits until fewer than `limit` of its calls run, and then calls `call`.
    """
    slots = asyncio.Semaphore(limit)

    async def one(item: T) -> R:
        async with slots:
            try:
                return await call(item)
            finally:
                beat()

    return one
