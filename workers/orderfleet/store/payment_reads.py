"""Reads the ledger of money. Implements `PaymentReader`.

Each call is one statement and never changes anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import asyncpg
from pydantic import TypeAdapter

from orderfleet.domain.ledger import AuthorizationView, IntentView, PaymentDetail, PaymentEntry
from orderfleet.domain.payment_ports import PaymentFilter
from orderfleet.domain.status import Cursor, PendingCustomer
from orderfleet.store.encoding import as_text
from orderfleet.store.pool import Database, statement

# These times are outside the range of every order, so that a page without a bound needs no statement of its own.
EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)

_AUTHORIZATIONS = TypeAdapter(tuple[AuthorizationView, ...])
_ENTRIES = TypeAdapter(tuple[PaymentEntry, ...])
_INTENTS = TypeAdapter(tuple[IntentView, ...])


class PaymentReads:
    """`PaymentReader` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def payment(self, payment_id: str) -> PaymentDetail | None:
        """Return a payment with all entries and intents, or None."""
        rows = await self._database.fetch(statement("payment"), as_text(payment_id))
        return payment_detail(rows[0]) if rows else None

    async def payments_of_order(self, order_id: str) -> list[PaymentDetail]:
        """Return the payments of an order, oldest first."""
        return [
            payment_detail(row) for row in await self._database.fetch(statement("payments_of_order"), as_text(order_id))
        ]

    async def payments_page(
        self, wanted: PaymentFilter, *, after: Cursor | None = None, limit: int = 50
    ) -> tuple[list[PaymentDetail], Cursor | None]:
        """Return a page of the payments that match the filter, newest order first, and the position of the next one.

        A filter of status or currency reads the orders in between, so a range of time keeps it fast.
        """
        bound = (wanted.created_before or LATEST, "")
        created_at, order_id = bound if after is None else min(bound, (after.created_at, after.order_id))
        # One row more than the page shows whether there is a next page.
        rows = await self._database.fetch(
            statement("payments_page"),
            created_at,
            order_id,
            wanted.created_from or EARLIEST,
            limit + 1,
            wanted.status,
            None if wanted.currency is None else as_text(wanted.currency),
        )
        payments = [payment_detail(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return payments, None
        return payments, Cursor(created_at=payments[-1].ordered_at, order_id=payments[-1].order_id)


def payment_detail(row: asyncpg.Record) -> PaymentDetail:
    """Return the payment of a row of the view `recorded_payments`."""
    pending = row["pending"]
    return PaymentDetail(
        **dict(row)
        | {
            "pending": None if pending is None else PendingCustomer.model_validate_json(pending),
            "authorizations": _AUTHORIZATIONS.validate_json(row["authorizations"]),
            "entries": _ENTRIES.validate_json(row["entries"]),
            "intents": _INTENTS.validate_json(row["intents"]),
        }
    )
