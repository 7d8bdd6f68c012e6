"""A simulated payment provider with a ledger of its own, for development, tests and demos. It moves no money.

A method of payment shows a case: `refuse`, `pending`, `confirm:5s`, `fail:5s`, `lapse:5s` or `refuse_capture`. Without
a method the payment id does, by its prefix, such as `refuse-`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from orderfleet.domain.durations import parse_duration
from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable
from orderfleet.domain.money import amount_text
from orderfleet.domain.payment import (
    AmountLimits,
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.providers.ledger import Ledger, SimulatedProvider
from orderfleet.providers.payments.simulated_books import Books
from orderfleet.providers.payments.simulated_entries import SCHEMA, Course, PaymentEntry

DEFAULT_DELAY: Final = timedelta(seconds=5)
"""Of a case whose method names no duration."""

CUSTOMER_TIME: Final = timedelta(hours=1)
"""How long `pending` waits for its customer where its method names no duration."""

CASES: Final[Mapping[str, Callable[[timedelta | None], Course]]] = {
    "refuse": lambda _: Course(fails=True),
    "pending": lambda delay: Course(decided_in=delay or CUSTOMER_TIME, fails=True, waits_for_customer=True),
    "confirm": lambda delay: Course(decided_in=delay or DEFAULT_DELAY),
    "fail": lambda delay: Course(decided_in=delay or DEFAULT_DELAY, fails=True),
    "lapse": lambda delay: Course(lapses_in=delay or DEFAULT_DELAY),
    "refuse_capture": lambda _: Course(refuses_captures=True),
}
"""What a method of payment shows: `refuse` is refused; `pending` waits until `PaymentLedger.confirm` or `fail`, and
fails at the end of its time; `confirm` and `fail` are pending and decide by themselves; an authorization of `lapse`
lapses; one of `refuse_capture` refuses each capture."""


class PaymentLedger(Ledger):
    """Charges, authorizations, captures, refunds and voids of the simulated payment provider."""

    provider = "payments"
    schema = SCHEMA

    def entries(self, payment_id: str | None = None) -> list[PaymentEntry]:
        """Return every entry, or those of one payment, in order."""
        names = [field.name for field in fields(PaymentEntry)]

        def work(ledger: sqlite3.Connection) -> list[sqlite3.Row]:
            if payment_id is None:
                return ledger.execute("select * from payment_entries order by id").fetchall()
            query = "select * from payment_entries where payment_id = ? order by id"
            return ledger.execute(query, (payment_id,)).fetchall()

        return [
            PaymentEntry(**{name: row[name] for name in names} | {"amount": Decimal(row["amount"])})
            for row in self.run_now(work)
        ]

    def confirm(self, payment_id: str, number: int = 1) -> None:
        """Confirm what is pending, as its customer would.

        Args:
            payment_id: of the payment.
            number: of the authorization in its payment.

        Raises:
            LookupError: nothing is pending.
        """
        self.run_now(lambda ledger: Books(ledger).decide(payment_id, number, approve=True))

    def fail(self, payment_id: str, number: int = 1) -> None:
        """Fail what is pending, as for a customer who did not authenticate. Takes and raises the same as `confirm`."""
        self.run_now(lambda ledger: Books(ledger).decide(payment_id, number, approve=False))

    def move(self, kind: str, payment_id: str, amount: Decimal, number: int = 1) -> str:
        """Add a movement that no call asked for: a refund in a dashboard, a dispute.

        Args:
            kind: of the entry, such as `refund`, `refund_failure` or `charge_back`.
            payment_id: of the payment.
            amount: in major units.
            number: of the authorization in its payment.

        Returns:
            The movement's reference.
        """
        return self.run_now(lambda ledger: Books(ledger).move(kind, payment_id, amount, number))


class SimulatedPayments(SimulatedProvider[PaymentLedger]):
    """`PaymentProvider` over a ledger of its own.

    Args:
        ledger: file of the ledger; None keeps it in memory.
        latency: between the commit of a call and its answer.
        limits: of amounts, by currency; a currency without limits takes each amount above 0.
    """

    unavailable = ProviderUnavailable
    books: type[Books] = Books
    """What reads and writes the ledger."""

    def __init__(
        self,
        *,
        ledger: Path | None = None,
        latency: timedelta = timedelta(0),
        limits: Mapping[str, AmountLimits] | None = None,
    ) -> None:
        super().__init__(PaymentLedger(ledger), latency)
        self._limits = limits or {}

    def limits(self, currency: str) -> AmountLimits:
        """What the provider asks of an amount of a currency."""
        return self._limits.get(currency, AmountLimits())

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same key again returns the same charge.

        Raises:
            PaymentRefused: the payment shows a refusal, the amount breaks a limit, or the key has other content.
            PaymentVoided: the charge was voided.
            ProviderUnavailable: the ledger is busy.
        """
        found = await self._request("charge", payment)
        return Charge(reference=found.reference, pending=found.pending)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Authorize once; the same key again returns the same authorization. Raises as `charge`."""
        found = await self._request("authorize", payment)
        return Authorization(
            reference=found.reference, pending=found.pending, expires_at=found.expires_at, multiple_captures=True
        )

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Capture once; the same key again returns the same capture.

        Raises:
            PaymentRefused: the authorization refuses, or has less left.
            AuthorizationLapsed: the authorization lapsed.
            PaymentVoided: the authorization was voided.
            ProviderUnavailable: the ledger is busy.
        """
        async with self._call("capture", capture.key):
            self._check(capture.amount, capture.payment.currency)
            return Capture(reference=await self.ledger.run(lambda ledger: self.books(ledger).capture(capture)))

    async def refund(self, refund: RefundIntent) -> Refund:
        """Refund once; the same key again returns the same refund.

        Raises:
            PaymentRefused: less is captured and not refunded.
            PaymentVoided: the payment was voided, which refunded everything.
            ProviderUnavailable: the ledger is busy.
        """
        async with self._call("refund", refund.key):
            self._check(refund.amount, refund.payment.currency)
            return Refund(reference=await self.ledger.run(lambda ledger: self.books(ledger).refund(refund)))

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization; release and refund what it has."""
        async with self._call("void", payment.key):
            return await self.ledger.run(lambda ledger: self.books(ledger).void(payment))

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """Return what the books have of a charge or an authorization; None if nothing."""
        async with self._call("look_up", payment.key):
            return await self.ledger.run(lambda ledger: self.books(ledger).look_up(payment))

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Yield what was requested or moved money from `since` until before `until`."""
        async with self._call("payments", ""):
            found = await self.ledger.run(lambda ledger: self.books(ledger).changed(since, until))
        for each in found:
            yield each

    async def _request(self, kind: str, payment: PaymentIntent) -> ProviderPayment:
        async with self._call(kind, payment.key):
            self._check(payment.amount, payment.currency, minimum=self.limits(payment.currency).minimum)
            found = await self.ledger.run(lambda ledger: self.books(ledger).request(kind, payment, course_of(payment)))
            # Raised after the commit, because the books keep what failed.
            if found.status is ProviderStatus.FAILED:
                raise PaymentRefused(f"payment {payment.key} was refused: {found.reason}")
            return found

    def _check(self, amount: int, currency: str, minimum: int = 0) -> None:
        step = self.limits(currency).step
        if amount <= 0 or amount % step or amount < minimum:
            raise PaymentRefused(
                f"{amount_text(amount, currency)} is no amount of this provider: a multiple of"
                f" {amount_text(step, currency)} from {amount_text(minimum, currency)}"
            )


def course_of(payment: PaymentIntent) -> Course:
    """The course of a payment, by its method or else by the prefix of its id."""
    name, _, delay = payment.method.partition(":")
    if payment.method:
        case = CASES.get(name)
    else:
        case = next((case for name, case in CASES.items() if payment.payment_id.startswith(f"{name}-")), None)
    if case is None:
        return Course()
    try:
        return case(parse_duration(delay) if delay else None)
    except ValueError as error:
        raise PaymentRefused(f"method {payment.method!r}: {error}") from None
