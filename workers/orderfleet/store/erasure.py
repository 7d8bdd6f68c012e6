"""Takes out of the record what must not stay: what a customer gave, and the trail of old orders.

`orderfleet erase` and `orderfleet prune` call it, as the role that owns the tables. It changes no order
that hasn't ended or whose money isn't settled, and never the id, owner or money of one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.store import months
from orderfleet.store.migrate import connected
from orderfleet.store.statements import statement

BATCH: Final = 200
"""Orders changed in one transaction: workers wait for none of it longer than a statement may take."""

KEPT: Final = (
    *("activity", "amount", "attempt", "by", "carrier", "change", "currency", "generation", "key", "outcome", "owner"),
    *("payment", "shipment", "then", "tracking_number", "until", "waited_seconds"),
)
"""What of an event's detail an erasure keeps. Anything else may be somebody's words."""


class NotTheOwner(OrderfleetError):
    """Who is logged in may not change what is written down."""


@dataclass(frozen=True)
class Erased:
    """What became of a customer's orders."""

    erased: tuple[str, ...]
    """Ids of those that hold nothing of the customer any more."""
    running: tuple[str, ...]
    """Ids of those that haven't ended, or are owed a refund, and are as they were."""


async def erase(database_url: str, email: str) -> Erased:
    """Replace what the customer with this e-mail address gave, in orders that have ended.

    Raises:
        NotTheOwner: the URL's user may not.
        StoreUnavailable: Postgres did not answer.
    """
    async with _erasing(database_url) as connection:
        found = await connection.fetch(statement("of_customer"), email)
        ended = [row["order_id"] for row in found if row["ended"]]
        done: set[str] = set()
        for start in range(0, len(ended), BATCH):
            rows = await connection.fetch(statement("erase"), ended[start : start + BATCH], list(KEPT))
            done.update(row["order_id"] for row in rows)
    return Erased(
        tuple(each for each in ended if each in done), tuple(row["order_id"] for row in found if not row["ended"])
    )


async def prunable(database_url: str, before: datetime) -> int:
    """How many orders `prune` would go through. Raises `StoreUnavailable`."""
    async with connected(database_url, timedelta(0)) as connection:
        return int(await connection.fetchval(statement("prunable"), before))


async def prune(database_url: str, before: datetime, *, batch: int = BATCH) -> AsyncGenerator[int]:
    """Remove events and shipments of orders that ended before a time, batch by batch; yield the size of each.

    Events of a month whose orders all go are dropped as a whole table. Interrupted anywhere it leaves whole batches
    behind, and goes on with the next when it is run again.

    Raises:
        NotTheOwner: the URL's user may not.
        StoreUnavailable: Postgres did not answer.
    """
    async with _erasing(database_url) as connection:
        await months.make_ahead(connection)
        await months.detach_spent(connection, before)
        while rows := await connection.fetch(statement("prune"), before, batch):
            yield len(rows)
        await months.drop_detached(connection)


@asynccontextmanager
async def _erasing(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection whose changes to the audit trail are meant; each statement is a transaction of its own."""
    async with connected(database_url, timedelta(0)) as connection:
        await connection.execute("set orderfleet.erasing = 'on'")
        # Postgres doesn't foresee that it will look into one month for each order, and would read all events.
        for way in ("hashjoin", "mergejoin", "seqscan"):
            await connection.execute(f"set enable_{way} = off")
        try:
            yield connection
        except asyncpg.InsufficientPrivilegeError as error:
            raise NotTheOwner(
                f"Postgres refused: {error}; log in as the role that migrates (ORDERFLEET_DATABASE_URL or its file)"
            ) from None
