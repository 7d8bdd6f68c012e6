"""A simulated payment provider with a ledger of its own, for development, tests and demos. It moves no money."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.providers.ledger import Ledger, SimulatedProvider

REFUSED_PREFIX: Final = "refuse-"
"""Payment ids with this prefix are always refused, so that a refusal can be shown."""


@dataclass(frozen=True)
class PaymentEntry:
    """One entry of the ledger; every kind but a void moves money."""

    kind: str
    """`charge`, `refund`, or `void` for a payment id that is closed to later charges."""
    payment_id: str
    order_id: str
    amount: Decimal
    """In major units, with the decimals of its currency."""
    currency: str
    reference: str


class PaymentLedger(Ledger):
    """Charges, refunds and voids of the simulated payment provider."""

    provider = "payments"
    schema = """
create table if not exists payment_entries (
    id          integer primary key,
    at          text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    kind        text not null check (kind in ('charge', 'refund', 'void')),
    payment_id  text not null,
    order_id    text not null,
    amount      text not null,
    currency    text not null,
    reference   text not null
);
create index if not exists payment_entries_by_payment on payment_entries (payment_id)
"""

    async def charge(self, payment: PaymentIntent) -> str:
        """Insert the charge unless it exists; return its reference.

        Raises:
            PaymentRefused: the id was charged with another amount or for another order.
            PaymentVoided: the id was voided.
        """

        def work(ledger: sqlite3.Connection) -> str:
            charge = _entry(ledger, payment, "charge")
            if _entry(ledger, payment, "void"):
                raise PaymentVoided(f"payment {payment.payment_id} was voided")
            if charge is None:
                reference = f"ch_{uuid.uuid4().hex[:20]}"
                _insert(ledger, "charge", payment, reference)
                return reference
            same = (charge.order_id, charge.amount, charge.currency)
            if same != (payment.order_id, payment.decimal_amount, payment.currency):
                raise PaymentRefused(
                    f"payment {payment.payment_id} was charged before: {charge.amount} {charge.currency}"
                    f" for order {charge.order_id}"
                )
            return charge.reference

        return await self.run(work)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged."""

        def work(ledger: sqlite3.Connection) -> VoidOutcome:
            charge = _entry(ledger, payment, "charge")
            if _entry(ledger, payment, "void") is None:
                _insert(ledger, "void", payment, "")
            if charge is None:
                return VoidOutcome.NEVER_CHARGED
            _refund(ledger, charge)
            return VoidOutcome.REFUNDED

        return await self.run(work)

    async def refund(self, payment: PaymentIntent) -> None:
        """Refund the whole charge, unless it is refunded.

        Raises:
            PaymentRefused: there is no charge.
        """

        def work(ledger: sqlite3.Connection) -> None:
            charge = _entry(ledger, payment, "charge")
            if charge is None:
                raise PaymentRefused(f"payment {payment.payment_id} has no charge to refund")
            _refund(ledger, charge)

        await self.run(work)

    def entries(self) -> list[PaymentEntry]:
        """Return every entry, in order."""
        rows = self.run_now(lambda ledger: ledger.execute("select * from payment_entries order by id").fetchall())
        return [_read(row) for row in rows]


def _refund(ledger: sqlite3.Connection, charge: PaymentEntry) -> None:
    if _entry(ledger, charge, "refund") is None:
        _insert(ledger, "refund", charge, charge.reference)


def _entry(ledger: sqlite3.Connection, payment: PaymentIntent | PaymentEntry, kind: str) -> PaymentEntry | None:
    row = ledger.execute(
        "select * from payment_entries where payment_id = ? and kind = ?", (payment.payment_id, kind)
    ).fetchone()
    return None if row is None else _read(row)


def _insert(ledger: sqlite3.Connection, kind: str, payment: PaymentIntent | PaymentEntry, reference: str) -> None:
    amount = payment.amount if isinstance(payment, PaymentEntry) else payment.decimal_amount
    ledger.execute(
        "insert into payment_entries (kind, payment_id, order_id, amount, currency, reference)"
        " values (?, ?, ?, ?, ?, ?)",
        (kind, payment.payment_id, payment.order_id, str(amount), payment.currency, reference),
    )


def _read(row: sqlite3.Row) -> PaymentEntry:
    return PaymentEntry(
        row["kind"], row["payment_id"], row["order_id"], Decimal(row["amount"]), row["currency"], row["reference"]
    )


class SimulatedPayments(SimulatedProvider[PaymentLedger]):
    """`PaymentProvider` over a ledger of its own.

    Args:
        ledger: file of the ledger; None keeps it in memory.
        latency: between the commit of a call and its answer.
    """

    unavailable = ProviderUnavailable

    def __init__(self, *, ledger: Path | None = None, latency: timedelta = timedelta(0)) -> None:
        super().__init__(PaymentLedger(ledger), latency)

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge.

        Raises:
            PaymentRefused: the id begins with `refuse-`, or was charged with another amount or for another order.
            PaymentVoided: the id was voided.
            ProviderUnavailable: the ledger is busy.
        """
        async with self._call("charge", payment.payment_id):
            if payment.payment_id.startswith(REFUSED_PREFIX):
                raise PaymentRefused(f"payment {payment.payment_id} was refused: its id begins with {REFUSED_PREFIX!r}")
            return Charge(reference=await self.ledger.charge(payment))

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged."""
        async with self._call("void", payment.payment_id):
            return await self.ledger.void(payment)

    async def refund(self, payment: PaymentIntent) -> None:
        """Refund the whole charge, once.

        Raises:
            PaymentRefused: there is no charge.
            ProviderUnavailable: the ledger is busy.
        """
        async with self._call("refund", payment.payment_id):
            await self.ledger.refund(payment)
