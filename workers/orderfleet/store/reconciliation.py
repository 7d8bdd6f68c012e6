"""What a reconciliation reads of the ledger, and the differences that it records. Implements `DifferenceStore`.

Each call is one statement. It must never change the ledger: `PaymentWrites` records facts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from orderfleet.domain.base import Contract
from orderfleet.domain.differences import Difference, DifferenceId, RecordedDifference
from orderfleet.domain.ledger import PaymentDetail
from orderfleet.domain.payment import MinorUnits
from orderfleet.store.encoding import as_json, as_text
from orderfleet.store.payment_reads import payment_detail
from orderfleet.store.pool import Database, statement

SLICE_ENTRIES: Final = 5000
"""Entries of the ledger in one slice of a window, beside those of one instant: a reconciliation keeps their ids."""


class _Found(Contract):
    """A row of `record_differences`."""

    payment_id: str
    kind: str
    key: str
    order_id: str
    number: int
    currency: str
    ledger_amount: MinorUnits | None
    provider_amount: MinorUnits | None
    reference: str | None
    safe: bool
    repaired: bool


class PostgresDifferences:
    """`DifferenceStore` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow.

    Args:
        database: pool of connections.
        slice_entries: entries of the ledger in one slice.
    """

    def __init__(self, database: Database, slice_entries: int = SLICE_ENTRIES) -> None:
        self._database = database
        self._slice_entries = slice_entries

    async def slice_end(self, since: datetime, longest: datetime) -> datetime:
        """Return the end of the next part of a window, which has a bounded number of entries.

        Args:
            since: where the part begins.
            longest: the latest end.
        """
        rows = await self._database.fetch(statement("reconciliation_slice"), since, longest, self._slice_entries)
        end: datetime = rows[0]["slice_end"]
        return end

    async def active_payments(self, since: datetime, until: datetime, after: str, limit: int) -> list[str]:
        """Return a page of the payments with entries that were recorded in a range of time, in the order of their ids.

        Args:
            since: begin of the range.
            until: its end, which is not in it.
            after: the page begins after this payment id; empty begins at the first.
            limit: maximum number of payments.
        """
        rows = await self._database.fetch(statement("active_payments"), since, until, after, limit)
        return [row["payment_id"] for row in rows]

    async def payments(self, payment_ids: Collection[str]) -> list[PaymentDetail]:
        """Return those of the payments that the ledger has, in full."""
        rows = await self._database.fetch(statement("payments_by_id"), [as_text(each) for each in payment_ids])
        return [payment_detail(row) for row in rows]

    async def record_differences(self, found: Sequence[Difference], repaired: Collection[DifferenceId]) -> None:
        """Record differences as seen now; those that are repaired as resolved."""
        # One statement can't write a row twice.
        unique = {each.identity: each for each in found}
        rows = [
            _Found(**dict(each) | {"safe": each.safe, "repaired": identity in repaired})
            for identity, each in unique.items()
        ]
        if rows:
            await self._database.fetch(statement("record_differences"), as_json(rows))

    async def open_differences(self, seen_before: datetime, after: str, limit: int) -> list[RecordedDifference]:
        """Return a page of the open differences, sorted by payment id.

        Args:
            seen_before: those that a reconciliation has seen since are left out.
            after: the page begins after this payment id; empty begins at the first.
            limit: maximum number of differences.
        """
        rows = await self._database.fetch(statement("open_differences"), seen_before, after, limit)
        return [RecordedDifference(**row) for row in rows]

    async def resolve(self, difference: DifferenceId) -> None:
        """Record that a difference is gone."""
        await self._database.fetch(statement("resolve_difference"), *difference)

    async def complete(self) -> int:
        """Record that a reconciliation was completed; return how many open differences are left for a person."""
        rows = await self._database.fetch(statement("complete_reconciliation"))
        return int(rows[0]["unsafe"])

    async def differences(self, *, resolved: bool = False, limit: int = 100) -> list[RecordedDifference]:
        """Return the open differences, the latest first, then those that are resolved if asked for, at most `limit`."""
        rows = await self._database.fetch(statement("differences"), resolved, limit)
        return [RecordedDifference(**row) for row in rows]
