from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from orderfleet.domain.status import Step
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.change_feed_follower import following, touch
from support.polling import eventually
from support.sample_rows import progress, receive


@contextmanager
def warnings_expected() -> Iterator[None]:
    """The feed warns when it loses Postgres; here that is the point."""
    logger = logging.getLogger("orderfleet.store.feed")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


async def test_server_killed_while_the_feed_listens_loses_no_change(own_server: Any, own_url: str) -> None:
    async with Database(own_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        writes = OrderWrites(database)
        await receive(writes)
        async with following(PostgresChangeFeed(database, poll=timedelta(milliseconds=200))) as follower:
            with warnings_expected():
                for number in (2, 3):
                    await writes.record("ord-1", progress(2 * number, Step.CHARGE))
                    own_server.kill()
                    await asyncio.to_thread(own_server.start)
                    other = await asyncpg.connect(own_url)
                    version = await touch(other, "ord-1")  # before the feed is back, most likely
                    await other.close()
                    await follower.wait_for_version("ord-1", version)


@pytest.mark.slow
async def test_server_that_hangs_while_the_feed_listens_loses_no_change(own_server: Any, own_url: str) -> None:
    async with Database(own_url, pool_size=4, timeout=timedelta(seconds=4)) as database:
        writes = OrderWrites(database)
        await receive(writes)
        feed = PostgresChangeFeed(database, poll=timedelta(milliseconds=100))
        async with following(feed) as follower:
            with warnings_expected():
                own_server.pause()

                async def noticed() -> bool:
                    return feed.behind is not None and feed.behind > timedelta(seconds=2)

                await eventually(noticed)
                own_server.resume()
                other = await asyncpg.connect(own_url)
                version = await touch(other, "ord-1")
                await other.close()
                await follower.wait_for_version("ord-1", version)
