"""Payments and refunds as the API and the command line show them: amounts as decimals of their currency."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import Field

from orderfleet.domain import ledger
from orderfleet.domain.base import Contract
from orderfleet.domain.ledger import EntryKind, EntrySource, IntentStatus, IntentView, Pieces, RefundDecision
from orderfleet.domain.money import Money, to_decimal
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.refunds import LineQuantity, RefundOrder
from orderfleet.domain.status import PaymentStatus


class RefundStatus(StrEnum):
    """State of a refund that was accepted."""

    PENDING = "pending"
    """The payment provider has not made it. It is retried without end."""
    REFUNDED = "refunded"
    FAILED = "failed"
    """The payment provider refused it, so its amount can be refunded again."""


_STATUS = {
    IntentStatus.OPEN: RefundStatus.PENDING,
    IntentStatus.DONE: RefundStatus.REFUNDED,
    IntentStatus.REFUSED: RefundStatus.FAILED,
}


class RefundView(Contract):
    """A refund."""

    refund_id: str = Field(examples=["return-1"])
    order_id: str = Field(examples=["ord-1"])
    payment_id: str = Field(examples=["pay-ord-1"])
    status: RefundStatus = Field(
        description="`pending` until the payment provider has made it; `failed` if the provider refused it: then its"
        " amount can be refunded again."
    )
    amount: Money = Field(description="What is refunded.", examples=["4.50"])
    shortfall: Money = Field(
        description="What its lines are worth beyond what could be refunded; 0 for most.", examples=["0.00"]
    )
    currency: str = Field(examples=["USD"])
    lines: tuple[LineQuantity, ...] = Field(description="Its lines; none for the refund of an amount.")
    reason: str = Field(examples=["one cup was broken"])
    failure: str = Field(default="", description="Why the payment provider refused it; empty otherwise.", examples=[""])
    created_at: datetime | None = Field(
        default=None, description="Null in the answer to a request if the order store did not answer in time."
    )
    ended_at: datetime | None = Field(
        default=None, description="When it was made or refused; null while it is pending."
    )

    @classmethod
    def decided(cls, refund: RefundOrder, decision: RefundDecision) -> Self:
        """The view of a refund that was just accepted."""
        currency = refund.payment.currency
        return cls(
            refund_id=refund.refund_id,
            order_id=refund.order_id,
            payment_id=refund.payment.payment_id,
            status=_STATUS[decision.status],
            amount=to_decimal(decision.amount, currency),
            shortfall=to_decimal(decision.shortfall, currency),
            currency=currency,
            lines=_lines(decision.lines),
            reason=refund.reason,
        )


def refund_views(payment: ledger.PaymentDetail) -> tuple[RefundView, ...]:
    """The refunds of a payment, oldest first. One that takes money from several authorizations has several intents."""
    parts: dict[str, list[IntentView]] = {}
    for intent in payment.intents:
        if intent.refund_id is not None:
            parts.setdefault(intent.refund_id, []).append(intent)
    return tuple(_refund(payment, refund_id, intents) for refund_id, intents in parts.items())


def _refund(payment: ledger.PaymentDetail, refund_id: str, parts: list[IntentView]) -> RefundView:
    statuses = {part.status for part in parts}
    status = next(each for each in (IntentStatus.OPEN, IntentStatus.REFUSED, IntentStatus.DONE) if each in statuses)
    ends = [part.ended_at for part in parts if part.ended_at is not None]
    return RefundView(
        refund_id=refund_id,
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=_STATUS[status],
        amount=to_decimal(sum(part.amount for part in parts), payment.currency),
        shortfall=to_decimal(sum(part.shortfall for part in parts), payment.currency),
        currency=payment.currency,
        lines=_lines(piece for part in parts for piece in part.lines),
        reason=parts[0].reason,
        failure=next((part.error for part in parts if part.error), ""),
        created_at=parts[0].created_at,
        ended_at=max(ends) if len(ends) == len(parts) else None,
    )


class EntryView(Contract):
    """One movement of money in the ledger of a payment."""

    at: datetime = Field(description="When the money moved.")
    kind: EntryKind
    amount: Money = Field(examples=["9.00"])
    currency: str = Field(examples=["USD"])
    source: EntrySource = Field(description="Who reported it.")
    reference: str | None = Field(description="The payment provider's own id of it.", examples=["ch_1"])
    key: str = Field(
        description="Unique among the entries of its kind; the idempotency key of the call, if it was one."
    )
    counts: bool = Field(description="`false` if it contradicts another entry or has another currency.")

    @classmethod
    def of(cls, entry: ledger.PaymentEntry) -> Self:
        """The view of an entry."""
        return cls(**{**dict(entry), "amount": to_decimal(entry.amount, entry.currency)})


class PaymentSummary(Contract):
    """The amounts and the status of a payment."""

    order_id: str = Field(examples=["ord-1"])
    payment_id: str = Field(examples=["pay-ord-1"])
    status: PaymentStatus | None = Field(description="Null until the charge begins.")
    capture: CaptureMode
    currency: str = Field(examples=["USD"])
    amount: Money = Field(description="Of the order.", examples=["9.00"])
    authorized: Money = Field(
        description="What the provider has reserved or captured, without what it released.", examples=["9.00"]
    )
    captured: Money = Field(examples=["9.00"])
    refunded: Money = Field(examples=["4.50"])
    charged_back: Money = Field(description="What was withdrawn for disputes.", examples=["0.00"])
    refundable: Money = Field(description="What can be refunded now.", examples=["4.50"])
    ordered_at: datetime = Field(description="When the order was started.")

    @classmethod
    def of(cls, payment: ledger.PaymentDetail) -> Self:
        """The view of a payment."""
        amounts = {name: to_decimal(getattr(payment, name), payment.currency) for name in _AMOUNTS}
        return cls(**{**dict(payment), **amounts})


class PaymentWithLedger(PaymentSummary):
    """A payment with its ledger."""

    entries: tuple[EntryView, ...] = Field(default=(), description="The movements of money, oldest first.")
    refunds: tuple[RefundView, ...] = Field(default=(), description="The refunds, oldest first.")

    @classmethod
    def of(cls, payment: ledger.PaymentDetail) -> Self:
        """The view of a payment."""
        summary = PaymentSummary.of(payment)
        entries = tuple(EntryView.of(each) for each in payment.entries)
        return cls(**dict(summary), entries=entries, refunds=refund_views(payment))


_AMOUNTS = ("amount", "authorized", "captured", "refunded", "charged_back", "refundable")


def _lines(pieces: Iterable[Pieces]) -> tuple[LineQuantity, ...]:
    """The lines that ranges of pieces belong to, with their quantities."""
    quantities: dict[str, int] = {}
    for each in pieces:
        quantities[each.line] = quantities.get(each.line, 0) + each.end - each.start
    return tuple(LineQuantity(line=line, qty=qty) for line, qty in quantities.items())
