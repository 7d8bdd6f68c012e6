"""A follower of the change feed that keeps what it received."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import asyncpg

from orderfleet.domain.events import RecordedOrder
from orderfleet.store.feed import PostgresChangeFeed

LONG = timedelta(hours=1)
"""A poll interval longer than any test, so that only notifications wake the follower."""


class Follower:
    """Keeps the batches of a feed, in order."""

    def __init__(self) -> None:
        self.batches: list[list[RecordedOrder]] = []
        self.changed = asyncio.Event()

    @property
    def orders(self) -> list[RecordedOrder]:
        return [one for batch in self.batches for one in batch]

    def versions(self, order_id: str = "ord-1") -> list[int]:
        return [one.version for one in self.orders if one.order_id == order_id]

    async def wait_for_version(self, order_id: str, version: int, bound: float = 20) -> None:
        async with asyncio.timeout(bound):
            while version > max(self.versions(order_id), default=0):
                self.changed.clear()
                await self.changed.wait()

    async def follow(self, feed: PostgresChangeFeed, wanted: Callable[[str], bool] | None) -> None:
        async with aclosing(feed.follow(wanted)) as batches:
            async for batch in batches:
                self.batches.append(list(batch))
                self.changed.set()


@asynccontextmanager
async def following(feed: PostgresChangeFeed, wanted: Callable[[str], bool] | None = None) -> AsyncIterator[Follower]:
    follower = Follower()
    task = asyncio.create_task(follower.follow(feed, wanted))
    try:
        async with asyncio.timeout(60):
            await feed.started()
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def touch(connection: asyncpg.Connection, order_id: str) -> int:
    version: int = await connection.fetchval(
        "update orders set approved = true where order_id = $1 returning version", order_id
    )
    return version
