"""`RecordLoader` batches concurrent reads, after the change feed has started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.operator.cache import RecordLoader
from support.observed_orders import record


class Feed:
    def __init__(self) -> None:
        self.has_started = asyncio.Event()

    async def started(self) -> None:
        await self.has_started.wait()

    @property
    def behind(self) -> timedelta | None:
        return None

    def follow(self, wanted: object = None) -> AsyncIterator[Sequence[RecordedOrder]]:
        raise NotImplementedError


class Reader:
    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.error: Exception | None = None

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        self.reads.append(list(order_ids))
        await self.unblocked.wait()
        if self.error is not None:
            raise self.error
        return {"o-1": record()} if "o-1" in order_ids else {}


@pytest.fixture
def feed() -> Feed:
    made = Feed()
    made.has_started.set()
    return made


async def test_concurrent_reads_are_one_query(feed):
    reader = Reader()
    records = RecordLoader(reader, feed)  # type: ignore[arg-type]
    results = await asyncio.gather(*(records.read(f"o-{number}") for number in range(5)), records.read("o-1"))
    assert reader.reads == [[f"o-{number}" for number in range(5)]]
    assert [result is not None for result in results] == [False, True, False, False, False, True]


async def test_reads_during_query_are_next_query(feed):
    reader = Reader()
    reader.unblocked.clear()
    records = RecordLoader(reader, feed, batch=2)  # type: ignore[arg-type]
    first = asyncio.create_task(records.read("o-1"))
    while not reader.reads:  # noqa: ASYNC110
        await asyncio.sleep(0)
    others = [asyncio.create_task(records.read(f"o-{number}")) for number in range(2, 5)]
    await asyncio.sleep(0)
    reader.unblocked.set()
    await asyncio.gather(first, *others)
    assert reader.reads == [["o-1"], ["o-2", "o-3"], ["o-4"]]


async def test_read_before_feed_starts_times_out():
    reader = Reader()
    records = RecordLoader(reader, Feed(), timeout=0.01)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="feed"):
        await records.read("o-1")
    assert reader.reads == []


async def test_failed_query_raises_in_all_readers_and_is_not_kept(feed):
    reader = Reader()
    reader.error = StoreUnavailable("no response")
    records = RecordLoader(reader, feed)  # type: ignore[arg-type]
    results = await asyncio.gather(records.read("o-1"), records.read("o-2"), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    reader.error = None
    assert await records.read("o-1") is not None
