"""The work queue: one worker an Order, nothing lost, nothing twice, failures tried again."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from orderfleet.operator import workqueue as queues
from orderfleet.operator.workqueue import Queue


class Desk:
    """Handles keys, and can be held up."""

    def __init__(self) -> None:
        self.handled: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most_at_once = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.failures: list[int] = []
        self.changed = asyncio.Condition()

    async def handle(self, key: str) -> None:
        self.began.set()
        self.at_once[key] += 1
        assert self.at_once[key] == 1
        self.most_at_once = max(self.most_at_once, self.at_once.total())
        try:
            await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
        finally:
            self.at_once[key] -= 1
            self.handled[key] += 1
            async with self.changed:
                self.changed.notify_all()

    def failed(self, _key: str, _error: Exception, count: int) -> None:
        self.failures.append(count)

    async def until(self, **handled: int) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: all(self.handled[key] >= times for key, times in handled.items()))


@asynccontextmanager
async def open_for(desk: Desk, workers: int = 4):
    queue: Queue[str] = Queue(desk.handle, desk.failed, workers)
    running = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield queue
    finally:
        queue.close()
        await asyncio.wait_for(running, 30)


async def test_key_added_several_times_is_handled_once():
    desk = Desk()
    async with open_for(desk) as queue:
        for _ in range(10):
            queue.add("a")
        await desk.until(a=1)
    assert desk.handled == {"a": 1}


async def test_key_added_while_handled_is_handled_once_more():
    desk = Desk()
    desk.gate.clear()
    async with open_for(desk) as queue:
        queue.add("a")
        await desk.began.wait()
        for _ in range(10):
            queue.add("a")
        desk.gate.set()
        await desk.until(a=2)
    assert desk.handled == {"a": 2}


async def test_queue_runs_no_more_workers_than_configured():
    desk = Desk()
    desk.gate.clear()
    async with open_for(desk, workers=3) as queue:
        for number in range(10):
            queue.add(f"k{number}")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(queue) == 10
        desk.gate.set()
        await desk.until(**{f"k{number}": 1 for number in range(10)})
    assert desk.most_at_once == 3


async def test_delayed_key_added_without_delay_is_handled_at_once():
    desk = Desk()
    async with open_for(desk) as queue:
        queue.add("a", after=60)
        queue.add("b", after=0.02)
        await desk.until(b=1)
        assert desk.handled["a"] == 0
        queue.add("a")
        await desk.until(a=1)
        assert len(queue) == 0


async def test_key_with_two_delays_is_handled_after_the_shorter():
    desk = Desk()
    async with open_for(desk) as queue:
        queue.add("a", after=0.02)
        queue.add("a", after=60)
        await desk.until(a=1)


async def test_failed_key_is_retried_with_backoff(monkeypatch):
    monkeypatch.setattr(queues, "INITIAL_BACKOFF", 0.01)
    desk = Desk()
    desk.errors = [RuntimeError("1"), RuntimeError("2"), RuntimeError("3")]
    async with open_for(desk) as queue:
        queue.add("a")
        await desk.until(a=4)
        assert queue.failures("a") == 0
    assert desk.failures == [1, 2, 3]


async def test_key_added_during_backoff_waits_for_its_end(monkeypatch):
    monkeypatch.setattr(queues, "INITIAL_BACKOFF", 60)
    monkeypatch.setattr(queues, "MAX_BACKOFF", 60)
    desk = Desk()
    desk.errors = [RuntimeError("away")]
    async with open_for(desk) as queue:
        queue.add("a")
        await desk.until(a=1)
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0)
        assert desk.handled["a"] == 1
        queue.add("b")
        await desk.until(b=1)


async def test_close_finishes_handled_keys_and_drops_waiting_ones():
    desk = Desk()
    desk.gate.clear()
    queue: Queue[str] = Queue(desk.handle, desk.failed, 1)
    running = asyncio.create_task(queue.run())
    queue.add("a")
    await desk.began.wait()
    queue.add("b")
    queue.add("c", after=0.01)
    queue.close()
    desk.gate.set()
    await asyncio.wait_for(running, 30)
    assert desk.handled == {"a": 1}


@pytest.mark.parametrize("count", [2000])
async def test_many_delayed_keys_are_all_handled(count):
    desk = Desk()
    async with open_for(desk) as queue:
        for number in range(count):
            queue.add(f"k{number}", after=0.01 + number / 1e6)
        await desk.until(**{f"k{number}": 1 for number in range(count)})
    assert desk.handled.total() == count
