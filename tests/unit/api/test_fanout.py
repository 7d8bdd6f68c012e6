"""The distribution of the change feed to watchers that read slowly or not at all."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

from orderfleet.api.fanout import Fanout
from orderfleet.domain.events import RecordedOrder
from support.observed_orders import record

CHANGES = 5000


class Feed:
    """A change feed of one order with one change per batch; `sent` is set after the last one."""

    def __init__(self) -> None:
        self.go, self.sent = asyncio.Event(), asyncio.Event()

    async def started(self) -> None:
        pass

    async def follow(self) -> AsyncIterator[list[RecordedOrder]]:
        await self.go.wait()
        for version in range(1, CHANGES + 1):
            yield [record(version=version)]
        self.sent.set()
        await asyncio.Event().wait()


async def test_slow_watcher_gets_the_latest_state_and_does_not_block_the_feed() -> None:
    feed: Any = Feed()
    fanout = Fanout(feed)
    slow, other = await fanout.subscribe("o-1"), await fanout.subscribe("o-1")
    feed.go.set()
    async with asyncio.timeout(60):
        await feed.sent.wait()  # the feed continues although no watcher has read
    for mailbox in (slow, other):
        latest = await mailbox.take(30)
        assert latest is not None
        assert latest.version == CHANGES
        assert await mailbox.take(0) is None
    await fanout.close()


async def test_mailboxes_that_are_never_read_are_collected() -> None:
    """A mailbox is not read if its order is unknown or its caller has disconnected."""
    feed: Any = Feed()
    fanout = Fanout(feed)
    for number in range(100):
        await fanout.subscribe(f"o-{number}")
    kept, other = await fanout.subscribe("o-1"), await fanout.subscribe("o-1")
    del other
    gc.collect()
    assert [list(mailboxes) for mailboxes in fanout._mailboxes.values()] == [[kept]]
    fanout.unsubscribe("o-1", kept)
    del kept
    gc.collect()
    assert not fanout._mailboxes
    await fanout.close()
