"""Waits for a condition by reading a value again and again, as nothing notifies a test of it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    read: Callable[[], Awaitable[T]], holds: Callable[[T], object] = ..., seconds: float = ..., interval: float = ...
) -> T: ...
@overload
async def eventually(
    read: Callable[[], T], holds: Callable[[T], object] = ..., seconds: float = ..., interval: float = ...
) -> T: ...
async def eventually(
    read: Callable[[], Any], holds: Callable[[Any], object] = bool, seconds: float = 60, interval: float = 0.02
) -> Any:
    """Read until the value meets a condition.

    Args:
        read: reads the value; may be a coroutine function.
        holds: the condition. The default is that the value is true.
        seconds: to wait at most.
        interval: seconds between two reads.

    Returns:
        The first value that meets the condition.

    Raises:
        AssertionError: no value did within `seconds`; the message has the last one.
    """
    end = time.monotonic() + seconds
    while True:
        value = read()
        if inspect.isawaitable(value):
            value = await value
        if holds(value):
            return value
        assert time.monotonic() < end, f"after {seconds:.0f} s still {value!r}"
        await asyncio.sleep(interval)


def eventually_sync(
    read: Callable[[], T], holds: Callable[[T], object] = bool, seconds: float = 60, interval: float = 0.02
) -> T:
    """`eventually` for tests without an event loop."""
    end = time.monotonic() + seconds
    while not holds(value := read()):
        assert time.monotonic() < end, f"after {seconds:.0f} s still {value!r}"
        time.sleep(interval)
    return value
