"""Reads of the record, for the API, the command line and the operator. Implements `OrderReader`.

Each call is one statement. It must never change anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from orderfleet.contracts.record import RecordedEvent, RecordedOrder
from orderfleet.store.pool import Database
from orderfleet.store.rows import recorded_event, recorded_order
from orderfleet.store.statements import statement


class OrderReads:
    """`OrderReader` over Postgres. Every call raises `StoreUnavailable` when it is away or too slow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(self, order_id: str) -> RecordedOrder | None:
        """The order from its rows, or None."""
        return (await self.orders([order_id])).get(order_id)

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        """Those of the orders that are recorded, by order id."""
        rows = await self._database.fetch(statement("orders"), list(order_ids))
        return {row["order_id"]: recorded_order(row) for row in rows}

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """The audit trail in recorded order, at most `limit` events from the one after id `after`."""
        rows = await self._database.fetch(statement("events"), order_id, after, limit)
        return [recorded_event(row) for row in rows]
