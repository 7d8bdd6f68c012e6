"""Erases customers' personal data and prunes old orders: deletes their events and shipments.

`orderfleet erase` and `orderfleet prune` call it as the role that owns the tables. It never changes an order that has
not ended or has a pending payment, and never an order's id, owner or payment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from orderfleet.domain.errors import OrderfleetError
from orderfleet.store.migrate import (
    connected,
    create_partitions,
    detach_prunable_partitions,
    drop_detached_partitions,
)
from orderfleet.store.pool import statement

BATCH: Final = 200
"""Orders in one transaction. Workers wait for its locks, at most as long as a statement may take."""

KEPT_DETAIL_KEYS: Final = (
    *("activity", "amount", "attempt", "by", "carrier", "change", "currency", "generation", "key", "outcome", "owner"),
    *("conflicts_with", "payment", "shipment", "then", "tracking_number", "until", "waited_seconds"),
)
"""Keys of an event's detail that an erasure keeps. Every other value can be free text."""


class NotTheOwner(OrderfleetError):
    """The database role may not change events."""


@dataclass(frozen=True)
class Erased:
    """Result of an erasure, by order id."""

    erased: tuple[str, ...]
    """Orders without personal data now."""
    running: tuple[str, ...]
    """Orders that have not ended or have a pending payment. They are unchanged."""


async def erase(database_url: str, email: str) -> Erased:
    """Erase the personal data of the customer with an e-mail address, in orders that have ended.

    Raises:
        NotTheOwner: the URL's user does not own the tables.
        StoreUnavailable: Postgres did not answer.
    """
    async with _erasing(database_url) as connection:
        found = await connection.fetch(statement("orders_of_customer"), email)
        ended = [row["order_id"] for row in found if row["ended"]]
        done: set[str] = set()
        for start in range(0, len(ended), BATCH):
            rows = await connection.fetch(
                statement("erase_orders"), ended[start : start + BATCH], list(KEPT_DETAIL_KEYS)
            )
            done.update(row["order_id"] for row in rows)
    return Erased(
        tuple(each for each in ended if each in done), tuple(row["order_id"] for row in found if not row["ended"])
    )


async def prunable(database_url: str, before: datetime) -> int:
    """Return how many orders `prune` would prune. Raises `StoreUnavailable`."""
    async with connected(database_url, timedelta(0)) as connection:
        return int(await connection.fetchval(statement("count_prunable_orders"), before))


async def prune(database_url: str, before: datetime, *, batch: int = BATCH) -> AsyncGenerator[int]:
    """Prune the orders that ended before a time, in batches; yield the size of each.

    A partition whose orders can all be pruned is dropped as a whole. Each batch is one transaction, so a call after an
    interrupted one continues with the next batch.

    Raises:
        NotTheOwner: the URL's user does not own the tables.
        StoreUnavailable: Postgres did not answer.
    """
    async with _erasing(database_url) as connection:
        await create_partitions(connection)
        await detach_prunable_partitions(connection, before)
        while rows := await connection.fetch(statement("prune_orders"), before, batch):
            yield len(rows)
        await drop_detached_partitions(connection)


@asynccontextmanager
async def _erasing(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect with the right to change events. Each statement is a transaction of its own."""
    async with connected(database_url, timedelta(0)) as connection:
        await connection.execute("set orderfleet.erasing = 'on'")
        # Postgres does not expect that it reads one partition per order, and would read all events.
        for method in ("hashjoin", "mergejoin", "seqscan"):
            await connection.execute(f"set enable_{method} = off")
        try:
            yield connection
        except asyncpg.InsufficientPrivilegeError as error:
            raise NotTheOwner(
                f"Postgres refused: {error}; log in as the role that migrates (ORDERFLEET_DATABASE_URL or its file)"
            ) from None
