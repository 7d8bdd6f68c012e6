"""Reads the ledger for finance: entries and sums by day; and the lines of an order. Implements `FinanceReader`.

Each call is one statement and never changes anything.
"""

from __future__ import annotations

from datetime import date

import asyncpg
from pydantic import TypeAdapter

from orderfleet.domain.finance import AuthorizationTotal, DayTotal, ExportedEntry, OrderLines
from orderfleet.domain.money import Adjustment, to_decimal
from orderfleet.domain.order import Item
from orderfleet.store.payment_reads import PaymentReads
from orderfleet.store.pool import statement

_ITEMS = TypeAdapter(tuple[Item, ...])
_ADJUSTMENTS = TypeAdapter(tuple[Adjustment, ...])


class FinanceReads(PaymentReads):
    """`FinanceReader` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    async def order_lines(self, order_id: str) -> OrderLines | None:
        """Return the items and adjustments of an order and the step of its amounts, or None."""
        rows = await self._database.fetch(statement("order_lines"), order_id)
        if not rows:
            return None
        return OrderLines(
            items=_ITEMS.validate_json(rows[0]["items"]),
            adjustments=_ADJUSTMENTS.validate_json(rows[0]["adjustments"]),
            step=rows[0]["step"],
            is_pruned=rows[0]["is_pruned"],
        )

    async def entries(
        self, first: date | None, last: date | None, *, after: ExportedEntry | None = None, limit: int = 1000
    ) -> list[ExportedEntry]:
        """Return entries of a range of days, oldest first, at most `limit`.

        Args:
            first: day; None for all.
            last: day, included; None for all.
            after: the entry that the result begins after; None begins at the first.
            limit: maximum number of entries.
        """
        position = (None, None, None, None) if after is None else (after.at, after.payment_id, after.kind, after.key)
        rows = await self._database.fetch(statement("payment_entries"), first, last, *position, limit)
        return [ExportedEntry(**_decimals(row, "amount")) for row in rows]

    async def totals(self, first: date | None, last: date | None) -> list[DayTotal]:
        """Return what was captured, refunded and charged back, by day and currency.

        Args:
            first: day; None for all.
            last: day, included; None for all.
        """
        rows = await self._database.fetch(statement("payment_totals"), first, last)
        return [DayTotal(**_decimals(row, "captured", "refunded", "charged_back")) for row in rows]

    async def open_authorizations(self, first: date | None, last: date | None) -> list[AuthorizationTotal]:
        """Return what is authorized and neither captured nor released, by the day of its authorization and currency.

        Args:
            first: day; None for all.
            last: day, included; None for all.
        """
        rows = await self._database.fetch(statement("open_authorizations"), first, last)
        return [AuthorizationTotal(**_decimals(row, "amount")) for row in rows]


def _decimals(row: asyncpg.Record, *names: str) -> dict[str, object]:
    """The row with amounts as decimals of its currency."""
    return dict(row) | {name: to_decimal(int(row[name]), row["currency"]) for name in names}
