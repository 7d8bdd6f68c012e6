"""The change feed: changed orders as they are committed, none skipped. Implements `ChangeFeed`.

The operator and the API's watchers follow it. A number that rises with each write would skip rows,
because a transaction with a lower number may commit later; so the cursor is a Postgres snapshot
(`pg_snapshot`, "System Information Functions" in the Postgres manual): each round reads the orders
whose transaction the last round's snapshot did not see. Nothing waits for a slow transaction, and
NOTIFY is only a wake-up, beside a poll. It must never hold a transaction open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import asyncpg

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.contracts.record import RecordedOrder
from orderfleet.observers import FeedObserver, Unwatched
from orderfleet.store.pool import Database
from orderfleet.store.rows import recorded_order
from orderfleet.store.statements import statement

CHANNEL: Final = "orderfleet_orders"
"""The NOTIFY channel of the wake-ups; migration 0002 sends them."""

_REREAD: Final = 1000
"""Transactions told again after a lost connection: a server that lost its last commits gives their numbers anew."""
_FIRST_GAP: Final = 0.1
_LONGEST_GAP: Final = 2.0

_log = logging.getLogger(__name__)


class Feed:
    """One follower's place in the stream of changes. The place outlives connections and `follow` itself.

    Args:
        database: where the record is.
        poll: how often to look when no wake-up comes.
        least_gap: between two looks, so that a burst of wake-ups becomes one batch.
        batch: orders in one batch at most.
        observer: told how many orders wait to be told.
    """

    def __init__(
        self,
        database: Database,
        *,
        poll: timedelta = timedelta(seconds=1),
        least_gap: timedelta = timedelta(milliseconds=50),
        batch: int = 500,
        observer: FeedObserver | None = None,
    ) -> None:
        self._database = database
        self._poll = poll.total_seconds()
        self._least_gap = least_gap.total_seconds()
        self._batch = batch
        self._observer = observer or Unwatched()
        self._seen: str | None = None
        self._started = asyncio.Event()
        self._current_at: float | None = None

    async def started(self) -> None:
        """Wait until the feed has its beginning: what is committed from then on will be told.

        Someone who reads the record after this and then goes by the feed misses nothing.
        """
        await self._started.wait()

    @property
    def behind(self) -> timedelta | None:
        """How long ago the follower had been told everything; None before the beginning."""
        if self._current_at is None:
            return None
        return timedelta(seconds=asyncio.get_running_loop().time() - self._current_at)

    async def follow(
        self, wanted: Callable[[str], bool] | None = None
    ) -> AsyncGenerator[Sequence[RecordedOrder], None]:
        """Batches of changed orders from now on, or from where an earlier `follow` stopped.

        A batch counts as told when the next one is asked for; an order may be told more than once. What `wanted`
        doesn't want, asked by the order's owner, is passed over before it is read: it costs a row and no more.
        """
        gap = _FIRST_GAP
        while True:
            try:
                async with self._listening() as (connection, woken):
                    while not connection.is_closed():
                        # Cleared before the look: a change committed during it wakes the next one.
                        woken.clear()
                        looked_at = asyncio.get_running_loop().time()
                        async with aclosing(self._round(connection, wanted)) as batches:
                            async for batch in batches:
                                yield batch
                        self._current_at = looked_at
                        gap = _FIRST_GAP
                        await self._wait(woken, looked_at)
                    _log.warning("change feed lost its connection, next try in %.1f s", gap)
            except StoreUnavailable as error:
                _log.warning("change feed lost Postgres, next try in %.1f s: %s", gap, error)
            await asyncio.sleep(gap)
            gap = min(gap * 2, _LONGEST_GAP)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[tuple[asyncpg.Connection[asyncpg.Record], asyncio.Event]]:
        woken = asyncio.Event()
        connection = await self._database.listen(CHANNEL, woken.set)
        try:
            if self._seen is None:
                rows = await self._database.fetch_on(connection, statement("snapshot"))
                self._seen = rows[0]["snapshot"]
                self._current_at = asyncio.get_running_loop().time()
                self._started.set()
            else:
                self._seen = _reread(self._seen)
            yield connection, woken
        finally:
            connection.terminate()

    async def _round(
        self, connection: asyncpg.Connection[asyncpg.Record], wanted: Callable[[str], bool] | None
    ) -> AsyncGenerator[Sequence[RecordedOrder], None]:
        """Everything that changed since the last round, in batches."""
        assert self._seen is not None
        now: str | None = None
        # No order id is empty, so this is where what the last round may have missed begins.
        after = (str(_xmin(self._seen)), "")
        while True:
            rows = await self._database.fetch_on(connection, statement("changes"), self._seen, *after, self._batch)
            # The first page's: what was committed between the pages is read again by the next round.
            now = now or rows[0]["snapshot"]
            found = [row for row in rows if row["order_id"] is not None]
            last = len(found) < self._batch
            self._observer.behind(len(found) + (0 if last else await self._waiting(connection, found[-1])))
            told = [recorded_order(row) for row in found if wanted is None or wanted(row["owner"])]
            if told:
                yield told
            if found:
                self._observer.told(len(found))
            if last:
                break
            after = _place(found[-1])
        self._seen = now
        self._observer.behind(0)

    async def _waiting(self, connection: asyncpg.Connection[asyncpg.Record], last: asyncpg.Record) -> int:
        """How many changed orders come after the last one read; asked for a whole page only."""
        rows = await self._database.fetch_on(connection, statement("count_changes"), self._seen, *_place(last))
        return int(rows[0]["rows"])

    async def _wait(self, woken: asyncio.Event, looked_at: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await woken.wait()
        since = asyncio.get_running_loop().time() - looked_at
        if since < self._least_gap:
            await asyncio.sleep(self._least_gap - since)


def _place(row: asyncpg.Record) -> tuple[str, str]:
    return row["changed_xid"], row["order_id"]


def _xmin(snapshot: str) -> int:
    """The oldest transaction that ran at the snapshot: all before it were over."""
    return int(snapshot.partition(":")[0])


def _reread(snapshot: str) -> str:
    """A snapshot that saw `_REREAD` transactions less than all that were over at `snapshot`."""
    xmin = max(_xmin(snapshot) - _REREAD, 1)
    return f"{xmin}:{xmin}:"
