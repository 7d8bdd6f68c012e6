"""Watchers that read slowly, or not at all: they cost the latest state each, and hold nobody up."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "operator"))

from declared import record

from orderfleet.api.fanout import Fanout
from orderfleet.domain.events import RecordedOrder

CHANGES = 5000


class Feed:
    """A feed that tells one order's changes, one a batch, and then that it told them."""

    def __init__(self) -> None:
        self.go, self.told = asyncio.Event(), asyncio.Event()

    async def started(self) -> None:
        pass

    async def follow(self) -> AsyncIterator[list[RecordedOrder]]:
        await self.go.wait()
        for version in range(1, CHANGES + 1):
            yield [record(version=version)]
        self.told.set()
        await asyncio.Event().wait()


async def test_slow_watcher_gets_the_latest_state_and_does_not_block_the_feed() -> None:
    feed: Any = Feed()
    fanout = Fanout(feed)
    slow, other = await fanout.subscribe("o-1"), await fanout.subscribe("o-1")
    feed.go.set()
    async with asyncio.timeout(60):
        await feed.told.wait()  # nobody has read, and the feed went on
    for mailbox in (slow, other):
        latest = await mailbox.take(30)
        assert latest is not None
        assert latest.version == CHANGES
        assert await mailbox.take(0) is None
    await fanout.close()


async def test_mailboxes_that_are_never_read_are_collected() -> None:
    """As of an order that there isn't, or by a caller who hung up at once."""
    feed: Any = Feed()
    fanout = Fanout(feed)
    for number in range(100):
        await fanout.subscribe(f"o-{number}")
    stays, other = await fanout.subscribe("o-1"), await fanout.subscribe("o-1")
    del other
    gc.collect()
    assert [list(there) for there in fanout._mailboxes.values()] == [[stays]]
    fanout.unsubscribe("o-1", stays)
    del stays
    gc.collect()
    assert not fanout._mailboxes
    await fanout.close()
