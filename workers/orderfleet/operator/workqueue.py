"""A work queue of keys with deduplication, delays and backoff, like client-go's.

A key added several times is handled once; a key added while it is handled is handled again afterwards, never
concurrently. A failed key is handled again after an exponential backoff.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

INITIAL_BACKOFF: Final = 0.25
MAX_BACKOFF: Final = 10.0


class Queue(Generic[Key]):
    """Keys to handle.

    Args:
        handle: handles a key; an exception is a failure.
        on_failure: called after each failure with the key, the exception and the number of consecutive failures.
        workers: number of keys that are handled concurrently.
    """

    def __init__(
        self, handle: Callable[[Key], Awaitable[None]], on_failure: Callable[[Key, Exception, int], None], workers: int
    ) -> None:
        self._handle = handle
        self._on_failure = on_failure
        self._workers = workers
        self._ready: asyncio.Queue[Key | None] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._running: dict[Key, float | None] = {}
        """Keys that are being handled, and when they are due again."""
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._pushed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        self._closing = False

    def __len__(self) -> int:
        """Number of keys that wait or are being handled."""
        return len(self._queued | self._running.keys() | self._due.keys())

    def failures(self, key: Key) -> int:
        """Number of consecutive failures of a key."""
        return self._failures.get(key, 0)

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key handled.

        Args:
            key: the key.
            after: seconds from now; an earlier time of the key wins, and a backoff delays both.
        """
        if self._closing:
            return
        now = asyncio.get_running_loop().time()
        due = max(now + after, self._not_before.get(key, 0.0))
        if key in self._running:
            again = self._running[key]
            self._running[key] = due if again is None else min(again, due)
        elif key not in self._queued:
            if due <= now:
                self._due.pop(key, None)
                self._queued.add(key)
                self._ready.put_nowait(key)
            elif due < self._due.get(key, float("inf")):
                self._due[key] = due
                self._pushed += 1
                heapq.heappush(self._heap, (due, self._pushed, key))
                self._set_timer()

    async def run(self) -> None:
        """Handle keys until `close`, then finish those being handled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"order worker {number}")

    def close(self) -> None:
        """Drop waiting keys and accept no more; `run` returns after the keys being handled."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        while not self._ready.empty():
            self._ready.get_nowait()
        for _ in range(self._workers):
            self._ready.put_nowait(None)

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            if key is None:
                return
            self._queued.discard(key)
            self._running[key] = None
            try:
                await self._handle(key)
            except Exception as error:  # noqa: BLE001 - a failure of one key must not end a worker
                self._back_off(key, error)
            else:
                self._failures.pop(key, None)
                self._not_before.pop(key, None)
            again = self._running.pop(key)
            if again is not None:
                self.add(key, again - asyncio.get_running_loop().time())

    def _back_off(self, key: Key, error: Exception) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        # The jitter spreads the retries of keys that failed together.
        backoff = min(INITIAL_BACKOFF * 2 ** (count - 1), MAX_BACKOFF) * random.uniform(0.75, 1.25)  # noqa: S311
        self._not_before[key] = self._running[key] = asyncio.get_running_loop().time() + backoff
        self._on_failure(key, error, count)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._enqueue_due)

    def _enqueue_due(self) -> None:
        """Hand due keys to the workers; one timer serves all keys."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if self._heap:
            self._set_timer()
