"""The change feed: changed orders after they are committed, none skipped. Implements `ChangeFeed`.

A number that rises with each write would skip rows, because a transaction with a lower number can commit later. So the
cursor is a snapshot (`pg_snapshot`, "System Information Functions" in the Postgres manual): each read returns the
orders whose transaction the previous read's snapshot did not see. No read waits for a slow transaction. NOTIFY only
wakes the reader before its next poll. The feed must never hold a transaction open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import asyncpg

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.observability.metrics import CHANGE_FEED_CHANGES, CHANGE_FEED_LAG_ROWS
from orderfleet.store.pool import Database, statement
from orderfleet.store.reads import recorded_order

CHANNEL: Final = "orderfleet_orders"
"""The NOTIFY channel; migration 0002 notifies it."""

_REREAD_TRANSACTIONS: Final = 1000
"""Transactions read again after a lost connection: a server that lost its last commits reuses their numbers."""
_INITIAL_BACKOFF: Final = 0.1
_MAX_BACKOFF: Final = 2.0

_log = logging.getLogger(__name__)


class PostgresChangeFeed:
    """One follower's position in the stream of changes. It outlives connections and `follow` itself.

    Args:
        database: of the orders.
        poll: time between two reads without a notification.
        least_gap: minimum time between two reads, so that a burst of notifications becomes one batch.
        batch: maximum number of orders in one batch.
    """

    def __init__(
        self,
        database: Database,
        *,
        poll: timedelta = timedelta(seconds=1),
        least_gap: timedelta = timedelta(milliseconds=50),
        batch: int = 500,
    ) -> None:
        self._database = database
        self._poll = poll.total_seconds()
        self._least_gap = least_gap.total_seconds()
        self._batch = batch
        self._snapshot: str | None = None
        self._started = asyncio.Event()
        self._caught_up_at: float | None = None

    async def started(self) -> None:
        """Wait until the feed has a position: it returns every change that is committed later.

        A caller that reads orders after this and then follows the feed misses no change.
        """
        await self._started.wait()

    @property
    def behind(self) -> timedelta | None:
        """Lag: time since the follower had every change; None before the feed has a position."""
        if self._caught_up_at is None:
            return None
        return timedelta(seconds=asyncio.get_running_loop().time() - self._caught_up_at)

    async def follow(
        self, wanted: Callable[[str], bool] | None = None
    ) -> AsyncGenerator[Sequence[RecordedOrder], None]:
        """Yield batches of changed orders, from now on or from where an earlier `follow` stopped.

        A batch counts as delivered when the next one is requested; an order can be delivered more than once.

        Args:
            wanted: whether to deliver the orders of an owner; the others are not parsed, unless their payment is to be
                shown.
        """
        backoff = _INITIAL_BACKOFF
        while True:
            try:
                async with self._listening() as (connection, woken):
                    while not connection.is_closed():
                        # The event is cleared before the read, so a commit during the read starts the next one.
                        woken.clear()
                        read_at = asyncio.get_running_loop().time()
                        async with aclosing(self._read_changes(connection, wanted)) as batches:
                            async for batch in batches:
                                yield batch
                        self._caught_up_at = read_at
                        backoff = _INITIAL_BACKOFF
                        await self._wait(woken, read_at)
                    _log.warning("change feed lost its connection, next try in %.1f s", backoff)
            except StoreUnavailable as error:
                _log.warning("change feed lost Postgres, next try in %.1f s: %s", backoff, error)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF)

    async def unshown_payments(self) -> Sequence[tuple[str, str]]:
        """Return owner and id of the orders whose payment changed after their end and that Orders may not show."""
        return [(row["owner"], row["order_id"]) for row in await self._database.fetch(statement("unshown_payments"))]

    async def payment_shown(self, order_id: str, version: int, *, gone: bool = False) -> None:
        """Take an order from those of `unshown_payments`, unless its payment changed again.

        Args:
            order_id: of the order.
            version: of the order with the payment that is shown.
            gone: no Order is of this order: it stays among them for 7 days, for the operator of another cluster.
        """
        await self._database.fetch(statement("forget_unshown_payment"), order_id, version, gone)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[tuple[asyncpg.Connection[asyncpg.Record], asyncio.Event]]:
        woken = asyncio.Event()
        connection = await self._database.listen(CHANNEL, woken.set)
        try:
            if self._snapshot is None:
                rows = await self._database.fetch_on(connection, statement("snapshot"))
                self._snapshot = rows[0]["snapshot"]
                self._caught_up_at = asyncio.get_running_loop().time()
                self._started.set()
            else:
                self._snapshot = _reread(self._snapshot)
            yield connection, woken
        finally:
            connection.terminate()

    async def _read_changes(
        self, connection: asyncpg.Connection[asyncpg.Record], wanted: Callable[[str], bool] | None
    ) -> AsyncGenerator[Sequence[RecordedOrder], None]:
        """Yield what has changed since the last call, in batches."""
        assert self._snapshot is not None
        now: str | None = None
        # Just before the first change that the last call did not see: no order id is empty.
        after = (str(_xmin(self._snapshot)), "")
        while True:
            rows = await self._database.fetch_on(connection, statement("changes"), self._snapshot, *after, self._batch)
            # The first page's snapshot: what is committed between the pages is read again by the next call.
            now = now or rows[0]["snapshot"]
            found = [row for row in rows if row["order_id"] is not None]
            last = len(found) < self._batch
            CHANGE_FEED_LAG_ROWS.set(len(found) + (0 if last else await self._count_remaining(connection, found[-1])))
            delivered = [recorded_order(row) for row in found if wanted is None or _is_wanted(row, wanted)]
            if delivered:
                yield delivered
            if found:
                CHANGE_FEED_CHANGES.inc(len(found))
            if last:
                break
            after = _cursor(found[-1])
        self._snapshot = now
        CHANGE_FEED_LAG_ROWS.set(0)

    async def _count_remaining(self, connection: asyncpg.Connection[asyncpg.Record], last: asyncpg.Record) -> int:
        """Return how many changed orders follow the last one that was read; called after a full page only."""
        rows = await self._database.fetch_on(connection, statement("count_changes"), self._snapshot, *_cursor(last))
        return int(rows[0]["rows"])

    async def _wait(self, woken: asyncio.Event, read_at: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await woken.wait()
        since = asyncio.get_running_loop().time() - read_at
        if since < self._least_gap:
            await asyncio.sleep(self._least_gap - since)


def _is_wanted(row: asyncpg.Record, wanted: Callable[[str], bool]) -> bool:
    return row["payment_unshown"] or wanted(row["owner"])


def _cursor(row: asyncpg.Record) -> tuple[str, str]:
    return row["changed_xid"], row["order_id"]


def _xmin(snapshot: str) -> int:
    """Return the oldest transaction that ran at the snapshot: all before it had ended."""
    return int(snapshot.partition(":")[0])


def _reread(snapshot: str) -> str:
    """Return a snapshot that did not see the last `_REREAD_TRANSACTIONS` transactions before `snapshot`."""
    xmin = max(_xmin(snapshot) - _REREAD_TRANSACTIONS, 1)
    return f"{xmin}:{xmin}:"
