"""Charges, authorizations, refunds and facts of sample payments, for tests of the ledger."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from orderfleet.domain.ledger import (
    EntryKind,
    EntrySource,
    PaymentAmounts,
    PaymentEntry,
    PaymentRecord,
    RefundLine,
    RefundRequest,
)
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import Authorization, Capture, CaptureIntent, Refund, RefundIntent, VoidOutcome
from orderfleet.domain.status import PaymentStatus, PendingCustomer
from orderfleet.store.writes import OrderWrites
from support.sample_rows import AT, CHARGE, UNDO, payment

_PAID: Final = ("pay-ord-1", "ord-1")
_TOTAL: Final = 3130


async def charge(
    record: OrderWrites, order_id: str = "ord-1", amount: int | None = None, step: int = 1
) -> PaymentRecord:
    """Charge an order's payment."""
    of = payment(order_id)
    of = of if amount is None else of.model_copy(update={"amount": amount})
    await record.begin_payment(of, step=step)
    return await record.finish_payment(of, PaymentStatus.CHARGED, CHARGE)


async def authorize(
    record: OrderWrites,
    answer: Authorization | None = None,
    order_id: str = "ord-1",
    payment_method: str = "",
    step: int = 1,
) -> PaymentRecord:
    """Authorize an order's payment, which is captured on shipment."""
    of = payment(order_id).model_copy(update={"method": payment_method})
    await record.begin_payment(of, capture=CaptureMode.ON_SHIPMENT, step=step)
    answer = answer or Authorization(reference="au_1")
    return await record.finish_payment(of, PaymentStatus.AUTHORIZED, answer, capture=CaptureMode.ON_SHIPMENT)


async def refund_all(record: OrderWrites, request: RefundRequest, order_id: str = "ord-1") -> None:
    """Make a refund that is accepted."""
    decision = await record.begin_refund(f"pay-{order_id}", order_id, request)
    assert decision.refused is None
    for part in decision.parts:
        await record.finish_refund(part, Refund(reference=f"re-{request.refund_id}"))


def fact(kind: EntryKind, key: str, amount: int, currency: str = "USD", number: int = 1) -> PaymentEntry:
    """An entry as a webhook reports it."""
    return PaymentEntry(
        kind=kind, key=key, number=number, amount=amount, currency=currency, source=EntrySource.WEBHOOK, at=AT
    )


async def sums(record: OrderWrites, order_id: str = "ord-1") -> PaymentAmounts:
    """The amounts of an order's payment."""
    return (await record.fence_payment(payment(order_id))).payment.amounts


class RandomOperations:
    """Operations on the payment of `ord-1`, in any order and with any answer of the provider."""

    def __init__(self, record: OrderWrites, dice: random.Random) -> None:
        self._record, self._dice = record, dice
        self._capture = dice.choice(list(CaptureMode))
        self._captures: list[CaptureIntent] = []
        self._refunds: list[RefundIntent] = []

    async def any(self) -> str:
        """Do one of them; return its name."""
        operation = self._dice.choice(
            [
                *(self.begin, self._finish, self._begin_capture, self._finish_capture, self._renew),
                *(self._begin_refund, self._finish_refund, self._report, self._undo),
            ]
        )
        await operation()
        return operation.__name__

    async def begin(self) -> None:
        """Begin the charge or the authorization."""
        await self._record.begin_payment(payment(), capture=self._capture)

    async def _finish(self) -> None:
        choose = self._dice.choice
        made = PaymentStatus.CHARGED if self._capture is CaptureMode.IMMEDIATE else PaymentStatus.AUTHORIZED
        ends = choose([made, made, PaymentStatus.FAILED, PaymentStatus.PENDING])
        answer = Authorization(
            reference="au_1",
            pending=PendingCustomer() if ends is PaymentStatus.PENDING else None,
            expires_at=choose([None, AT, datetime.now(UTC) + timedelta(days=1)]),
            multiple_captures=choose([True, False]),
        )
        await self._record.finish_payment(payment(), ends, answer, capture=self._capture)

    async def _begin_capture(self) -> None:
        amount = self._dice.choice([None, 100, _TOTAL, _TOTAL + 1])
        decision = await self._record.begin_capture(*_PAID, amount)
        if decision.capture is not None:
            self._captures.append(decision.capture)

    async def _finish_capture(self) -> None:
        if self._captures:
            answer = self._dice.choice([Capture(reference="cp_1"), None])
            lapsed = answer is None and self._dice.random() < 0.5
            await self._record.finish_capture(self._dice.choice(self._captures), answer, lapsed=lapsed)

    async def _renew(self) -> None:
        begun = (await self._record.begin_authorization(*_PAID)).authorization
        if begun is not None and self._dice.random() < 0.7:
            ends = self._dice.choice([PaymentStatus.AUTHORIZED, PaymentStatus.FAILED])
            await self._record.finish_payment(begun, ends, Authorization(reference="au_2"))

    async def _begin_refund(self) -> None:
        line = RefundLine(line="1", qty=self._dice.randint(1, 3), pieces=5, amount=_TOTAL)
        by_amount = RefundRequest(refund_id=f"r{self._dice.randint(1, 5)}", amount=self._dice.randint(1, _TOTAL))
        by_lines = RefundRequest(refund_id=f"l{self._dice.randint(1, 5)}", lines=(line,))
        decision = await self._record.begin_refund(*_PAID, self._dice.choice([by_amount, by_lines]))
        self._refunds.extend(decision.parts)

    async def _finish_refund(self) -> None:
        if self._refunds:
            answer = self._dice.choice([Refund(reference="re_1"), None])
            await self._record.finish_refund(self._dice.choice(self._refunds), answer)

    async def _report(self) -> None:
        choose = self._dice.choice
        entry = fact(
            choose(list(EntryKind)),
            choose(["pay-ord-1", "x", "y", *(one.key for one in (*self._captures, *self._refunds))]),
            choose([100, _TOTAL]),
            currency=choose(["USD", "USD", "EUR"]),
            number=choose([1, 1, 2]),
        )
        await self._record.record_fact("pay-ord-1", entry)

    async def _undo(self) -> None:
        if self._dice.random() < 0.2:
            fenced = await self._record.fence_payment(payment(), capture=self._capture)
            for one in fenced.open:
                outcome = self._dice.choice(list(VoidOutcome))
                await self._record.finish_payment(one, PaymentStatus.VOIDED, outcome=outcome)
            self._refunds.extend((await self._record.begin_refund(*_PAID, UNDO, undo=True)).parts)
