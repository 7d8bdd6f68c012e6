"""What the books of the simulated payment provider hold: the tables, an entry, and the course of a payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from orderfleet.domain.payment import MovementKind

SCHEMA: Final = """
create table if not exists payment_requests (
    payment_id        text not null,
    number            integer not null,
    key               text not null,
    order_id          text not null,
    kind              text not null check (kind in ('charge', 'authorize', 'void')),
    amount            integer not null,
    currency          text not null,
    reference         text not null unique,
    state             text not null,
    reason            text not null default '',
    at                text not null,
    fails             integer not null default 0,
    decided_at        text,
    until             text,
    lapses_in         real,
    expires_at        text,
    refuses_captures  integer not null default 0,
    primary key (payment_id, number)
);
create table if not exists payment_entries (
    id          integer primary key,
    at          text not null,
    kind        text not null,
    payment_id  text not null,
    number      integer not null,
    order_id    text not null,
    key         text not null,
    amount      text not null,
    currency    text not null,
    reference   text not null
);
create index if not exists payment_entries_by_payment on payment_entries (payment_id, number);
create index if not exists payment_entries_by_time on payment_entries (at)
"""

MOVEMENTS: Final = {
    "charge": MovementKind.CAPTURED,
    "capture": MovementKind.CAPTURED,
    "refund": MovementKind.REFUNDED,
    "refund_failure": MovementKind.REFUND_FAILED,
    "charge_back": MovementKind.CHARGED_BACK,
    "charge_back_reversal": MovementKind.CHARGE_BACK_REVERSED,
}
"""The kinds of entries that move money."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a charge or an authorization develops after its request."""

    decided_in: timedelta | None = None
    """How long it is pending; None decides at once."""
    fails: bool = False
    """Whether the provider decides against it."""
    waits_for_customer: bool = False
    """Whether the decision is only the end of the customer's time to confirm."""
    lapses_in: timedelta | None = None
    """How long the authorization lasts; None does not end it."""
    refuses_captures: bool = False


@dataclass(frozen=True)
class PaymentEntry:
    """One entry of the ledger."""

    kind: str
    """`charge`, `capture`, `refund`, `refund_failure`, `charge_back` and `charge_back_reversal` move money; `authorize`
    and `release` reserve it and let it go; `void` closes a charge or an authorization."""
    payment_id: str
    order_id: str
    amount: Decimal
    """In major units, with the decimals of its currency."""
    currency: str
    reference: str
    number: int = 1
    """Number of the authorization in its payment."""
    key: str = ""
    """The call's idempotency key; empty for an entry without a call of its own."""
