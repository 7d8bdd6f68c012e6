"""Refunds: what a client asks for, by amount or by lines; the value of the lines; and a refund as readers see it.

Amounts are integers in minor units of the order's currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from orderfleet.domain import names
from orderfleet.domain.base import Contract, OrderId
from orderfleet.domain.money import (
    MAX_AMOUNT,
    Adjustment,
    AdjustmentKind,
    LineId,
    adjustment_shares,
    exponent,
    minor_units,
    pieces_value,
    to_decimal,
)
from orderfleet.domain.order import Item, Quantity, content_hash, line_ids, line_totals
from orderfleet.domain.payment import MinorUnits, PaymentIntent
from orderfleet.domain.policy import OrderPolicy

REFUND_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

RefundId = Annotated[str, StringConstraints(pattern=REFUND_ID)]
"""1 to 100 letters, digits, dots, underscores or dashes; the first is a letter or a digit."""

SHIPPING_LINE: Final = "shipping"
"""Name of the order's shipping costs in a refund: a line of one piece. An item of the same id has precedence."""


class RefundLine(Contract):
    """Pieces of one line."""

    line: LineId = Field(
        min_length=1,
        description="Id of the item, or its number from `1`; `shipping` for the order's shipping costs.",
        examples=["1"],
    )
    qty: Annotated[Quantity, Field(ge=1)] = Field(
        default=1, description="How many of its pieces; those with the highest numbers first.", examples=[1]
    )


class RefundOrder(Contract):
    """Input of `RefundWorkflow`. Without an amount and lines, it refunds what is left of the payment."""

    order_id: OrderId
    payment: PaymentIntent
    reason: str
    policy: OrderPolicy
    refund_id: RefundId = names.ORDER_REFUND
    amount: MinorUnits | None = None
    """To refund, of the whole order."""
    lines: tuple[RefundLine, ...] = ()
    """Whose pieces to refund, instead of an amount."""

    @property
    def partial(self) -> bool:
        """Whether a client asked for it, so that it may be rejected."""
        return self.refund_id != names.ORDER_REFUND

    @property
    def content(self) -> str:
        """Hash of what is refunded. The same refund id with another one is another refund, which is rejected."""
        lines = sorted((each.line, each.qty) for each in self.lines)
        return content_hash({"amount": self.amount, "lines": lines, "payment": self.payment.payment_id})

    def memo(self) -> dict[str, str]:
        """Memo of the workflow, which distinguishes it from a workflow of another client with the same id."""
        return {
            names.MEMO_ORDER_ID: self.order_id,
            names.MEMO_PAYMENT_ID: self.payment.payment_id,
            names.MEMO_REFUND_ID: self.refund_id,
            names.MEMO_CONTENT_HASH: self.content,
        }


class RefundStatus(StrEnum):
    """State of a refund that was accepted."""

    PENDING = "pending"
    """The payment provider has not confirmed it. It is retried without end."""
    REFUNDED = "refunded"
    FAILED = "failed"
    """The payment provider refused it, so its amount can be refunded again."""


class RefundPieces(Contract):
    """Pieces of a line that a refund names: those from `start` to before `end`, counted from 0."""

    line: str
    start: int
    end: int


class RecordedRefund(Contract):
    """A refund in the order store."""

    refund_id: str
    payment_id: str
    order_id: str
    currency: str
    amount: MinorUnits
    """What is refunded: the value of its lines, if they name more than was refundable, less the shortfall."""
    shortfall: MinorUnits = 0
    """What its lines are worth beyond what was refundable."""
    status: RefundStatus
    reason: str = ""
    failure: str = ""
    """Why the payment provider refused it; empty otherwise."""
    lines: tuple[RefundPieces, ...] = ()
    created_at: datetime
    ended_at: datetime | None = None


class OrderLine(Contract):
    """A line of an order with its shares of the adjustments."""

    line: str
    pieces: int
    amount: int
    """Of all of its pieces together."""

    def value(self, start: int, end: int, step: int = 1) -> int:
        """The value of its pieces from `start` to before `end`; a multiple of `step`."""
        return pieces_value(self.amount, self.pieces, start, end, step)


def order_lines(
    items: Sequence[Item], adjustments: Sequence[Adjustment], currency: str, step: int = 1
) -> dict[str, OrderLine]:
    """The lines of a valid order by their ids, shipping last. Their amounts add up to the order's.

    Args:
        items: of the order.
        adjustments: of the order and its lines.
        currency: of the order.
        step: each amount is a multiple of it.
    """
    ids, totals = line_ids(items), line_totals(items, currency)
    given = {line: (item.qty, total) for line, item, total in zip(ids, items, totals, strict=True)}
    amounts = dict(zip(ids, totals, strict=True))
    for shares in adjustment_shares(given, adjustments, currency, step):
        for line, share in shares.items():
            amounts[line] += share
    lines = {line: OrderLine(line=line, pieces=given[line][0], amount=amount) for line, amount in amounts.items()}
    shipping = [
        minor_units(each.amount, currency)
        for each in adjustments
        if each.kind is AdjustmentKind.SHIPPING and not each.line
    ]
    if shipping and SHIPPING_LINE not in lines:
        lines[SHIPPING_LINE] = OrderLine(line=SHIPPING_LINE, pieces=1, amount=sum(shipping))
    return lines


def line_problems(wanted: Sequence[RefundLine], lines: Mapping[str, OrderLine]) -> list[str]:
    """What is wrong with the lines of a refund, whatever was refunded before; each problem is `field: message`.

    Args:
        wanted: the lines of the refund.
        lines: of the order.
    """
    problems = []
    seen: set[str] = set()
    for index, each in enumerate(wanted):
        where = f"lines[{index}]"
        line = lines.get(each.line)
        if line is None:
            known = ", ".join(repr(name) for name in list(lines)[:_NAMED]) + (", …" if len(lines) > _NAMED else "")
            problems.append(f"{where}.line: the order has no line {each.line!r}; it has {known}")
        elif each.line in seen:
            problems.append(f"{where}.line: {each.line!r} is named twice; name it once with its whole quantity")
        elif each.qty > line.pieces:
            problems.append(f"{where}.qty: {each.qty} is above the {line.pieces} ordered; refund at most these")
        seen.add(each.line)
    return problems


_NAMED: Final = 5
"""Number of lines that a message names."""


def amount_problems(amount: Decimal, currency: str) -> list[str]:
    """What is wrong with an amount to refund, whatever was refunded before; each problem is `field: message`.

    Args:
        amount: as a client wrote it.
        currency: of the order.
    """
    if not amount.is_finite() or abs(amount) >= MAX_AMOUNT:
        return ["amount: is out of range; refund at most what was charged"]
    if amount <= 0:
        return [f"amount: {amount} is not above 0; write how much to refund, such as 4.50"]
    if to_decimal(minor_units(amount, currency), currency) != amount:
        return [f"amount: {amount} has more decimals than {currency}, which has {exponent(currency)}; round it"]
    return []


def conflict_reason(refund_id: str) -> str:
    """Why a refund id cannot be used for another refund."""
    return f"refund id {refund_id!r} was used before for another refund of this payment; choose another one"


class DecisionOutcome(StrEnum):
    """Whether a refund was accepted."""

    ACCEPTED = "accepted"
    """Its amount is reserved; the payment provider is asked next."""
    NOT_REFUNDABLE = "not_refundable"
    """More than can be refunded, or pieces that are refunded already."""
    CONFLICT = "conflict"
    """The refund id belongs to another refund of this payment."""
    INVALID = "invalid"
    """It names lines that the order does not have."""


class RefundDecision(Contract):
    """The decision about a refund that a client asked for."""

    outcome: DecisionOutcome
    reason: str = ""
    """Why it was not accepted, with what can be refunded; empty if it was."""
    refundable: MinorUnits = 0
    """What can be refunded besides it."""
    refund: RecordedRefund | None = None
    """Set if it was accepted."""
    replayed: bool = False
    """Whether an earlier request made it."""

    @property
    def accepted(self) -> bool:
        """Whether the refund is made."""
        return self.outcome is DecisionOutcome.ACCEPTED


class RefundResult(Contract):
    """Result of `RefundWorkflow`."""

    status: RefundStatus = RefundStatus.REFUNDED
    """`FAILED` also for a refund that was not accepted."""
    failure: str = ""
    """Why it failed; empty otherwise."""
    decision: RefundDecision | None = None
    """None for the refund of everything that is left, which is never rejected."""
