"""Reads of the record, for the API, the command line and the operator. Implements `OrderReader`.

Each call is one statement. It must never change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from orderfleet.contracts.listing import OrderFilter, OrderPage, Place
from orderfleet.contracts.record import RecordedEvent, RecordedOrder
from orderfleet.store.encoding import as_text
from orderfleet.store.pool import Database
from orderfleet.store.rows import recorded_event, recorded_order
from orderfleet.store.statements import statement

# Beyond every order, and as Postgres can take it: an open end is no other statement.
_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)

# By whether the customer and the step are given: with one statement for all, Postgres could not choose an index.
_PAGES: Final = {
    (False, False): "page",
    (False, True): "page_of_step",
    (True, False): "page_of_customer",
    (True, True): "page_of_customer_and_step",
}


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

    async def orders_page(self, wanted: OrderFilter, *, after: Place | None = None, limit: int = 50) -> OrderPage:
        """A page of the orders that the filter names, newest first, at most `limit` of them."""
        created_at, order_id = _beginning(wanted, after)
        # One more than asked for tells whether there is a next page.
        bounds = (created_at, order_id, wanted.created_from or _EARLIEST, limit + 1)
        email = None if wanted.customer_email is None else as_text(wanted.customer_email)
        given = [value for value in (email, wanted.step) if value is not None]
        rows = await self._database.fetch(
            statement(_PAGES[email is not None, wanted.step is not None]), *bounds, *given
        )
        orders = tuple(recorded_order(row).status for row in rows[:limit])
        last = orders[-1] if len(rows) > limit else None
        place = Place(created_at=last.created_at, order_id=last.order_id) if last else None
        return OrderPage(orders=orders, next=place)

    async def payment_holder(self, payment_id: str) -> str | None:
        """The id of the order that the payment id belongs to, or None."""
        rows = await self._database.fetch(statement("payment_holder"), payment_id)
        return rows[0]["order_id"] if rows else None

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """The audit trail in recorded order, at most `limit` events from the one after id `after`."""
        rows = await self._database.fetch(statement("events"), order_id, after, limit)
        return [recorded_event(row) for row in rows]


def _beginning(wanted: OrderFilter, after: Place | None) -> tuple[datetime, str]:
    """Just after which order the page begins; the upper bound of the time is a place too."""
    bound = (wanted.created_before or _LATEST, "")
    return bound if after is None else min(bound, (after.created_at, after.order_id))
