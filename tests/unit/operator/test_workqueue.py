"""The work queue handles each key on one worker at a time, loses none and retries failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from orderfleet.operator import workqueue
from orderfleet.operator.workqueue import Queue


class Handler:
    """Handles keys, and can be blocked."""

    def __init__(self) -> None:
        self.handled: Counter[str] = Counter()
        self.concurrent: Counter[str] = Counter()
        self.max_concurrent = 0
        self.started = asyncio.Event()
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.errors: list[Exception] = []
        self.failures: list[int] = []
        self.changed = asyncio.Condition()

    async def handle(self, key: str) -> None:
        self.started.set()
        self.concurrent[key] += 1
        assert self.concurrent[key] == 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent.total())
        try:
            await self.unblocked.wait()
            if self.errors:
                raise self.errors.pop(0)
        finally:
            self.concurrent[key] -= 1
            self.handled[key] += 1
            async with self.changed:
                self.changed.notify_all()

    def failed(self, _key: str, _error: Exception, count: int) -> None:
        self.failures.append(count)

    async def until(self, **handled: int) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: all(self.handled[key] >= times for key, times in handled.items()))


@asynccontextmanager
async def running_queue(handler: Handler, workers: int = 4):
    queue: Queue[str] = Queue(handler.handle, handler.failed, workers)
    running = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield queue
    finally:
        queue.close()
        await asyncio.wait_for(running, 30)


async def test_key_added_several_times_is_handled_once():
    handler = Handler()
    async with running_queue(handler) as queue:
        for _ in range(10):
            queue.add("a")
        await handler.until(a=1)
    assert handler.handled == {"a": 1}


async def test_key_added_while_handled_is_handled_once_more():
    handler = Handler()
    handler.unblocked.clear()
    async with running_queue(handler) as queue:
        queue.add("a")
        await handler.started.wait()
        for _ in range(10):
            queue.add("a")
        handler.unblocked.set()
        await handler.until(a=2)
    assert handler.handled == {"a": 2}


async def test_queue_runs_no_more_workers_than_configured():
    handler = Handler()
    handler.unblocked.clear()
    async with running_queue(handler, workers=3) as queue:
        for number in range(10):
            queue.add(f"k{number}")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(queue) == 10
        handler.unblocked.set()
        await handler.until(**{f"k{number}": 1 for number in range(10)})
    assert handler.max_concurrent == 3


async def test_delayed_key_added_without_delay_is_handled_at_once():
    handler = Handler()
    async with running_queue(handler) as queue:
        queue.add("a", after=60)
        queue.add("b", after=0.02)
        await handler.until(b=1)
        assert handler.handled["a"] == 0
        queue.add("a")
        await handler.until(a=1)
        assert len(queue) == 0


async def test_key_with_two_delays_is_handled_after_the_shorter():
    handler = Handler()
    async with running_queue(handler) as queue:
        queue.add("a", after=0.02)
        queue.add("a", after=60)
        await handler.until(a=1)


async def test_failed_key_is_retried_with_backoff(monkeypatch):
    monkeypatch.setattr(workqueue, "INITIAL_BACKOFF", 0.01)
    handler = Handler()
    handler.errors = [RuntimeError("1"), RuntimeError("2"), RuntimeError("3")]
    async with running_queue(handler) as queue:
        queue.add("a")
        await handler.until(a=4)
        assert queue.failures("a") == 0
    assert handler.failures == [1, 2, 3]


async def test_key_added_during_backoff_waits_for_its_end(monkeypatch):
    monkeypatch.setattr(workqueue, "INITIAL_BACKOFF", 60)
    monkeypatch.setattr(workqueue, "MAX_BACKOFF", 60)
    handler = Handler()
    handler.errors = [RuntimeError("no response")]
    async with running_queue(handler) as queue:
        queue.add("a")
        await handler.until(a=1)
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0)
        assert handler.handled["a"] == 1
        queue.add("b")
        await handler.until(b=1)


async def test_close_finishes_handled_keys_and_drops_waiting_ones():
    handler = Handler()
    handler.unblocked.clear()
    queue: Queue[str] = Queue(handler.handle, handler.failed, 1)
    running = asyncio.create_task(queue.run())
    queue.add("a")
    await handler.started.wait()
    queue.add("b")
    queue.add("c", after=0.01)
    queue.close()
    handler.unblocked.set()
    await asyncio.wait_for(running, 30)
    assert handler.handled == {"a": 1}


@pytest.mark.parametrize("count", [2000])
async def test_many_delayed_keys_are_all_handled(count):
    handler = Handler()
    async with running_queue(handler) as queue:
        for number in range(count):
            queue.add(f"k{number}", after=0.01 + number / 1e6)
        await handler.until(**{f"k{number}": 1 for number in range(count)})
    assert handler.handled.total() == count
