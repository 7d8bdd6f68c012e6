"""Reads orders, their events, payments and the backlog. Implements `OrderReader` and `PaymentReader`.

Each call is one statement and never changes anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

import asyncpg
from pydantic import BaseModel, TypeAdapter

from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.money import to_decimal
from orderfleet.domain.order import Address
from orderfleet.domain.status import (
    Cursor,
    Hold,
    OrderFilter,
    OrderPage,
    OrderStatus,
    PaymentView,
    PendingCustomer,
    ShipmentView,
    SpecResult,
)
from orderfleet.observability.operator_metrics import BacklogKind, BacklogSample
from orderfleet.store.encoding import as_text
from orderfleet.store.payment_reads import EARLIEST, LATEST, PaymentReads
from orderfleet.store.pool import statement

# The statement of a page, by whether customer and step are given. With one for all, Postgres could not choose an index.
_PAGES: Final = {
    (False, False): "page",
    (False, True): "page_of_step",
    (True, False): "page_of_customer",
    (True, True): "page_of_customer_and_step",
}

Model = TypeVar("Model", bound=BaseModel)

_SHIPMENTS = TypeAdapter(tuple[ShipmentView, ...])


class OrderReads(PaymentReads):
    """`OrderReader` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    async def order(self, order_id: str) -> RecordedOrder | None:
        """Return an order, or None."""
        return (await self.orders([order_id])).get(order_id)

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        """Return those of the orders that are recorded, by order id."""
        rows = await self._database.fetch(statement("orders"), list(order_ids))
        return {row["order_id"]: recorded_order(row) for row in rows}

    async def orders_page(self, wanted: OrderFilter, *, after: Cursor | None = None, limit: int = 50) -> OrderPage:
        """Return a page of the orders that match the filter, newest first, at most `limit`."""
        created_at, order_id = _upper_bound(wanted, after)
        # One row more than the page shows whether there is a next page.
        bounds = (created_at, order_id, wanted.created_from or EARLIEST, limit + 1)
        email = None if wanted.customer_email is None else as_text(wanted.customer_email)
        if wanted.reference is not None:
            rows = await self._database.fetch(
                statement("page_of_reference"), *bounds, as_text(wanted.reference), email, wanted.step
            )
        else:
            filters = [value for value in (email, wanted.step) if value is not None]
            page = _PAGES[email is not None, wanted.step is not None]
            rows = await self._database.fetch(statement(page), *bounds, *filters)
        orders = tuple(recorded_order(row).status for row in rows[:limit])
        last = orders[-1] if len(rows) > limit else None
        following = Cursor(created_at=last.created_at, order_id=last.order_id) if last else None
        return OrderPage(orders=orders, next=following)

    async def payment_holder(self, payment_id: str) -> str | None:
        """Return the id of the order that the payment id belongs to, or None."""
        rows = await self._database.fetch(statement("payment_holder"), payment_id)
        return rows[0]["order_id"] if rows else None

    async def reference_holder(self, reference: str) -> str | None:
        """Return the id of the first order that the reference was recorded for, or None."""
        rows = await self._database.fetch(statement("reference_holder"), as_text(reference))
        return rows[0]["order_id"] if rows else None

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """Return the events of an order with an id above `after`, in recorded order, at most `limit`."""
        rows = await self._database.fetch(statement("events"), order_id, after, limit)
        return [recorded_event(row) for row in rows]

    async def backlog(self) -> list[BacklogSample]:
        """Return unfinished orders by step, those past their deadline, and pending payments by status.

        Its cost depends only on the number of unfinished orders and payments.
        """
        rows = await self._database.fetch(statement("backlog"))
        return [
            BacklogSample(BacklogKind(row["kind"]), row["key"], row["count"], max(row["oldest"], 0.0)) for row in rows
        ]


def _upper_bound(wanted: OrderFilter, after: Cursor | None) -> tuple[datetime, str]:
    """Return the time and order id that all orders of the page are below, from the cursor and the filter."""
    bound = (wanted.created_before or LATEST, "")
    return bound if after is None else min(bound, (after.created_at, after.order_id))


def recorded_order(row: asyncpg.Record) -> RecordedOrder:
    """Return the order of a row of the view `recorded_orders`."""
    status = dict(row) | {
        "address": Address.model_validate_json(row["address"]),
        "payment": PaymentView(
            id=row["payment_id"],
            status=row["payment_status"],
            amount=to_decimal(row["amount"], row["currency"]),
            currency=row["currency"],
            **_amounts(row),
            pending=_read(PendingCustomer, row["payment_pending"]),
        ),
        "hold": _read(Hold, row["hold"]),
        "shipments": _SHIPMENTS.validate_json(row["shipments"]),
        "retries": json.loads(row["retries"]),
        "declared": SpecResult.model_validate_json(row["declared"]),
    }
    return RecordedOrder(**row, status=OrderStatus(**status))


def _amounts(row: asyncpg.Record) -> dict[str, Decimal]:
    """The amounts of an order's payment; none before it begins."""
    return {
        name: to_decimal(row[name], row["currency"])
        for name in ("authorized", "captured", "refunded")
        if row[name] is not None
    }


def _read(model: type[Model], text: str | None) -> Model | None:
    return None if text is None else model.model_validate_json(text)


def recorded_event(row: asyncpg.Record) -> RecordedEvent:
    """Return the event of a row."""
    return RecordedEvent(**dict(row) | {"detail": json.loads(row["detail"])})
