"""What finance exports: entries of the ledger, and their sums by day and currency. Days are in UTC."""

from __future__ import annotations

from datetime import date, datetime

from orderfleet.domain.base import Contract
from orderfleet.domain.ledger import EntryKind, EntrySource
from orderfleet.domain.money import Adjustment, Money
from orderfleet.domain.order import Item


class OrderLines(Contract):
    """What an order's amount consists of. Without items, the order was pruned."""

    items: tuple[Item, ...]
    adjustments: tuple[Adjustment, ...]


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
