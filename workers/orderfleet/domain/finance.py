"""What finance exports: entries of the ledger, and their sums by day and currency; and its reader. Days are in UTC."""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from orderfleet.domain.base import Contract
from orderfleet.domain.ledger import EntryKind, EntrySource
from orderfleet.domain.money import Adjustment, Money
from orderfleet.domain.order import Item
from orderfleet.domain.payment_ports import PaymentReader


class OrderLines(Contract):
    """What an order's amount consists of."""

    items: tuple[Item, ...]
    adjustments: tuple[Adjustment, ...]
    step: int
    """Every amount of its payment is a multiple of it, in minor units."""
    is_pruned: bool
    """Whether items and adjustments were removed."""


class ExportedEntry(Contract):
    """One movement of money, with its order."""

    at: datetime
    order_id: str
    payment_id: str
    kind: EntryKind
    amount: Money
    currency: str
    source: EntrySource
    reference: str | None
    """The payment provider's own id of it."""
    key: str
    counts: bool
    """False if it contradicts another entry or has another currency: then no sum has it."""


class DayTotal(Contract):
    """What was captured, refunded and charged back on one day in one currency."""

    day: date
    currency: str
    captured: Money
    refunded: Money
    charged_back: Money


class AuthorizationTotal(Contract):
    """What was authorized on one day in one currency, and is neither captured nor released."""

    day: date
    currency: str
    payments: int
    amount: Money


class FinanceReader(PaymentReader, Protocol):
    """The ledger as finance sees it. Raises `StoreUnavailable` if Postgres is unavailable or too slow."""

    async def order_lines(self, order_id: str) -> OrderLines | None:
        """The items and adjustments of an order, or None."""

    async def entries(
        self, first: date | None, last: date | None, *, after: ExportedEntry | None = None, limit: int = 1000
    ) -> list[ExportedEntry]:
        """Entries of a range of days, oldest first.

        Args:
            first: day; None for all.
            last: day, included; None for all.
            after: the entry that the result begins after; None for the first.
            limit: entries at most.
        """

    async def totals(self, first: date | None, last: date | None) -> list[DayTotal]:
        """What was captured, refunded and charged back, by day and currency; arguments as of `entries`."""

    async def open_authorizations(self, first: date | None, last: date | None) -> list[AuthorizationTotal]:
        """What is authorized and not captured, by day and currency; arguments as of `entries`."""
