"""The simulated payment provider's books: what was asked of it, and what money went where.

`payments.simulated` writes them; tests and the demo count in them. They are the provider's truth,
kept apart from the record of the product, so that the two can be held against each other.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.providers.ledger_file import LedgerBusy, LedgerFile

_SCHEMA: Final = """
create table if not exists payment_calls (
    id          integer primary key,
    at          text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    call        text not null,
    payment_id  text not null,
    order_id    text not null
);
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


@dataclass(frozen=True)
class PaymentEntry:
    """One line of the books; money moved unless it is a void."""

    kind: str
    """`charge`, `give_back`, or `void` for an id closed for good."""
    payment_id: str
    order_id: str
    amount: Decimal
    currency: str
    reference: str


class PaymentLedger:
    """The books, in a file or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._file = LedgerFile(path, _SCHEMA)

    async def charge(self, payment: PaymentIntent) -> str:
        """Enter the charge unless it is there; return its reference.

        Raises:
            PaymentRefused: the id was charged with another amount or for another order.
            PaymentVoided: the id was voided.
        """

        def work(books: sqlite3.Connection) -> str:
            charge = _entry(books, payment, "charge")
            if _entry(books, payment, "void"):
                raise PaymentVoided(f"payment {payment.payment_id} was voided")
            if charge is None:
                return _enter(books, payment, "charge", f"ch_{uuid.uuid4().hex[:20]}")
            same = (charge.order_id, charge.amount, charge.currency)
            if same != (payment.order_id, payment.amount, payment.currency):
                raise PaymentRefused(
                    f"payment {payment.payment_id} was charged before: {charge.amount} {charge.currency}"
                    f" for order {charge.order_id}"
                )
            return charge.reference

        return await self._file.run(work)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the id for good; give back what it had charged."""

        def work(books: sqlite3.Connection) -> VoidOutcome:
            charge = _entry(books, payment, "charge")
            if _entry(books, payment, "void") is None:
                _enter(books, payment, "void", "")
            if charge is None:
                return VoidOutcome.NEVER_CHARGED
            _give_back(books, payment, charge)
            return VoidOutcome.GIVEN_BACK

        return await self._file.run(work)

    async def refund(self, payment: PaymentIntent) -> None:
        """Give back the whole charge, unless that was done.

        Raises:
            PaymentRefused: there never was a charge.
        """

        def work(books: sqlite3.Connection) -> None:
            charge = _entry(books, payment, "charge")
            if charge is None:
                raise PaymentRefused(f"payment {payment.payment_id} has no charge to give back")
            _give_back(books, payment, charge)

        await self._file.run(work)

    async def called(self, call: str, payment: PaymentIntent) -> None:
        """Note that the provider was called, whatever comes of it."""
        await self._file.run(
            lambda books: books.execute(
                "insert into payment_calls (call, payment_id, order_id) values (?, ?, ?)",
                (call, payment.payment_id, payment.order_id),
            )
        )

    def calls(self) -> list[tuple[str, str]]:
        """Every call ever made: its name and the payment id, in order."""
        rows = self._file.run_now(
            lambda books: books.execute("select call, payment_id from payment_calls order by id").fetchall()
        )
        return [(row["call"], row["payment_id"]) for row in rows]

    def entries(self) -> list[PaymentEntry]:
        """Every entry ever made, in order."""
        rows = self._file.run_now(lambda books: books.execute("select * from payment_entries order by id").fetchall())
        return [_read(row) for row in rows]


def _give_back(books: sqlite3.Connection, payment: PaymentIntent, charge: PaymentEntry) -> None:
    if _entry(books, payment, "refund") is None:
        _write(books, "refund", charge)


def _entry(books: sqlite3.Connection, payment: PaymentIntent, kind: str) -> PaymentEntry | None:
    row = books.execute(
        "select * from payment_entries where payment_id = ? and kind = ?", (payment.payment_id, kind)
    ).fetchone()
    return None if row is None else _read(row)


def _enter(books: sqlite3.Connection, payment: PaymentIntent, kind: str, reference: str) -> str:
    _write(
        books,
        kind,
        PaymentEntry(kind, payment.payment_id, payment.order_id, payment.amount, payment.currency, reference),
    )
    return reference


def _write(books: sqlite3.Connection, kind: str, entry: PaymentEntry) -> None:
    books.execute(
        "insert into payment_entries (kind, payment_id, order_id, amount, currency, reference)"
        " values (?, ?, ?, ?, ?, ?)",
        (kind, entry.payment_id, entry.order_id, str(entry.amount), entry.currency, entry.reference),
    )


def _read(row: sqlite3.Row) -> PaymentEntry:
    return PaymentEntry(
        row["kind"], row["payment_id"], row["order_id"], Decimal(row["amount"]), row["currency"], row["reference"]
    )


REFUSED_PREFIX: Final = "refuse-"

"""Payment ids that are always refused, so that a refusal can be shown."""


class SimulatedPayments:
    """A payment provider with books of its own.

    Args:
        ledger: file of the books; None keeps them in memory.
        latency: between doing what was asked and answering, as a lost answer is the harder case.
    """

    def __init__(self, *, ledger: Path | None = None, latency: timedelta = timedelta(0)) -> None:
        self.ledger = PaymentLedger(ledger)
        self._latency = latency.total_seconds()

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge.

        Raises:
            PaymentRefused: the id begins with `refuse-`, or was charged with another amount.
            PaymentVoided: the id was voided.
            ProviderUnavailable: the books could not be had.
        """
        with _available():
            await self.ledger.called("charge", payment)
            if payment.payment_id.startswith(REFUSED_PREFIX):
                await asyncio.sleep(self._latency)
                raise PaymentRefused(f"payment {payment.payment_id} was refused: its id begins with {REFUSED_PREFIX!r}")
            reference = await self.ledger.charge(payment)
        await asyncio.sleep(self._latency)
        return Charge(reference=reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Make sure the payment id can never charge again; give back what it had charged."""
        with _available():
            await self.ledger.called("void", payment)
            outcome = await self.ledger.void(payment)
        await asyncio.sleep(self._latency)
        return outcome

    async def refund(self, payment: PaymentIntent) -> None:
        """Give back the whole charge, once.

        Raises:
            PaymentRefused: there never was a charge.
        """
        with _available():
            await self.ledger.called("refund", payment)
            await self.ledger.refund(payment)
        await asyncio.sleep(self._latency)


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except LedgerBusy as error:
        raise ProviderUnavailable(str(error)) from error
