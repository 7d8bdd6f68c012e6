"""Refunds that clients ask for, by amount or by lines; the value of the lines; and the input of `RefundWorkflow`.

Amounts are integers in minor units of the order's currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from orderfleet.domain import names
from orderfleet.domain.base import Contract, OrderId
from orderfleet.domain.ledger import IntentStatus, RefundDecision, RefundLine, RefundRefusal, RefundRequest
from orderfleet.domain.money import (
    MAX_AMOUNT,
    SHIPPING_LINE,
    Adjustment,
    AdjustmentKind,
    LineId,
    adjustment_shares,
    amount_text,
    exponent,
    minor_units,
    to_decimal,
)
from orderfleet.domain.order import Item, Quantity, content_hash, line_ids, line_totals
from orderfleet.domain.payment import MinorUnits, PaymentIntent
from orderfleet.domain.policy import OrderPolicy

REFUND_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

RefundId = Annotated[str, StringConstraints(pattern=REFUND_ID)]
"""1 to 64 letters, digits, dots, underscores or dashes; the first is a letter or a digit."""

_NAMED: Final = 5
"""Number of lines that a message names."""


class LineQuantity(Contract):
    """Pieces of one line, as a client names them."""

    line: LineId = Field(
        min_length=1,
        description="Id of the item, or its number from `1`; `shipping` for the order's shipping costs.",
        examples=["1"],
    )
    qty: Annotated[Quantity, Field(ge=1)] = Field(default=1, description="How many of its pieces.", examples=[1])


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
    order_runs: bool = False
    """Whether the order's workflow may run, whose live status is to show the refund."""

    @property
    def partial(self) -> bool:
        """Whether a client asked for it, so that it may be rejected."""
        return self.refund_id != names.ORDER_REFUND

    @property
    def request(self) -> RefundRequest:
        """What the order store decides about."""
        return RefundRequest(refund_id=self.refund_id, amount=self.amount, lines=self.lines, reason=self.reason)

    def memo(self) -> dict[str, str]:
        """Memo of the workflow, which distinguishes it from another refund or another client's with the same id."""
        content = self.model_dump(mode="json", include={"amount", "lines"})
        return {
            names.MEMO_ORDER_ID: self.order_id,
            names.MEMO_PAYMENT_ID: self.payment.payment_id,
            names.MEMO_REFUND_ID: self.refund_id,
            names.MEMO_CONTENT_HASH: content_hash(content),
        }


class RefundResult(Contract):
    """Result of `RefundWorkflow`."""

    status: IntentStatus = IntentStatus.DONE
    """`REFUSED` also for a refund that the order store did not accept."""
    failure: str = ""
    """Why it was refused; empty otherwise."""
    decision: RefundDecision | None = None
    """None for the refund of everything that is left, which is never rejected."""


def order_lines(
    items: Sequence[Item], adjustments: Sequence[Adjustment], currency: str, step: int = 1
) -> dict[str, RefundLine]:
    """The lines of a valid order by their ids, shipping last, each with all of its pieces.

    Their amounts add up to the order's.

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
    pieces = {line: qty for line, (qty, _) in given.items()}
    shipping = [
        minor_units(each.amount, currency)
        for each in adjustments
        if each.kind is AdjustmentKind.SHIPPING and not each.line
    ]
    if shipping:
        amounts[SHIPPING_LINE], pieces[SHIPPING_LINE] = sum(shipping), 1
    return {
        line: RefundLine(line=line, qty=pieces[line], pieces=pieces[line], amount=amount, step=step)
        for line, amount in amounts.items()
    }


def line_problems(wanted: Sequence[LineQuantity], lines: Mapping[str, RefundLine]) -> list[str]:
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


def amount_problems(amount: Decimal, currency: str) -> list[str]:
    """What is wrong with an amount to refund, whatever was refunded before; each problem is `field: message`.

    Args:
        amount: as a client wrote it.
        currency: of the order.
    """
    if not amount.is_finite() or abs(amount) >= MAX_AMOUNT:
        return ["amount: is out of range; refund at most what was captured"]
    if amount <= 0:
        return [f"amount: {amount} is not above 0; write how much to refund, such as 4.50"]
    if to_decimal(minor_units(amount, currency), currency) != amount:
        return [f"amount: {amount} has more decimals than {currency}, which has {exponent(currency)}; round it"]
    return []


def conflict_reason(refund_id: str) -> str:
    """Why a refund id cannot be used for another refund."""
    return f"refund id {refund_id!r} was used before for another refund of this payment; choose another one"


def not_charged(payment: PaymentIntent) -> str:
    """Why nothing of a payment can be refunded whose charge has not begun."""
    return f"payment {payment.payment_id!r} was not charged yet, so nothing can be refunded"


def refusal_reason(refund: RefundOrder, decision: RefundDecision) -> str:
    """Why the order store did not accept a refund, with what can be refunded; empty if it did.

    Args:
        refund: that was asked for.
        decision: about it.
    """
    left = f"{amount_text(decision.refundable, refund.payment.currency)} can be refunded"
    lines = next((each.qty for each in refund.lines if each.line == decision.line), 0)
    what = "these lines" if refund.amount is None else amount_text(refund.amount, refund.payment.currency)
    reasons = {
        RefundRefusal.UNKNOWN_PAYMENT: not_charged(refund.payment),
        RefundRefusal.FENCED: (
            f"order {refund.order_id!r} is canceled or failed, which returns everything; no part is refunded"
        ),
        RefundRefusal.CONFLICT: conflict_reason(refund.refund_id),
        RefundRefusal.PIECES: f"fewer than {lines} pieces of line {decision.line!r} are left to refund; {left}",
        RefundRefusal.TOO_MUCH: f"{what} cannot be refunded; {left}",
    }
    return "" if decision.refused is None else reasons[decision.refused]
