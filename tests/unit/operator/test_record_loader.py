"""Reads of the record: together, after the feed has its beginning, and each told its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from declared import record

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.operator.cache import RecordLoader


class Feed:
    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def started(self) -> None:
        await self.begun.wait()

    @property
    def behind(self) -> timedelta | None:
        return None

    def follow(self, wanted: object = None) -> AsyncIterator[Sequence[RecordedOrder]]:
        raise NotImplementedError


class Reader:
    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        self.reads.append(list(order_ids))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {"o-1": record()} if "o-1" in order_ids else {}


@pytest.fixture
def feed() -> Feed:
    made = Feed()
    made.begun.set()
    return made


async def test_concurrent_reads_are_one_query(feed):
    reader = Reader()
    records = RecordLoader(reader, feed)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(records.read(f"o-{number}") for number in range(5)), records.read("o-1"))
    assert reader.reads == [[f"o-{number}" for number in range(5)]]
    assert [answer is not None for answer in answers] == [False, True, False, False, False, True]


async def test_reads_during_query_are_next_query(feed):
    reader = Reader()
    reader.gate.clear()
    records = RecordLoader(reader, feed, batch=2)  # type: ignore[arg-type]
    first = asyncio.create_task(records.read("o-1"))
    while not reader.reads:  # noqa: ASYNC110
        await asyncio.sleep(0)
    others = [asyncio.create_task(records.read(f"o-{number}")) for number in range(2, 5)]
    await asyncio.sleep(0)
    reader.gate.set()
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
    reader.error = StoreUnavailable("away")
    records = RecordLoader(reader, feed)  # type: ignore[arg-type]
    answers = await asyncio.gather(records.read("o-1"), records.read("o-2"), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    reader.error = None
    assert await records.read("o-1") is not None
