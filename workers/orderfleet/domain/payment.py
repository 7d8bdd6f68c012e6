"""Requests to and results of the payment provider, and the input of a refund."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from orderfleet.domain import names
from orderfleet.domain.base import Contract, ExternalName, Int64, OrderId, PaymentId
from orderfleet.domain.money import minor_units, to_decimal
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.status import PaymentStatus


def _in_minor_units(amount: Any, info: ValidationInfo) -> Any:
    if not isinstance(amount, str | Decimal):
        return amount
    try:
        return minor_units(Decimal(amount), info.data.get("currency", ""))
    except (ArithmeticError, ValueError):
        raise ValueError("is not an amount; write it in minor units of its currency, such as 1998") from None


class PaymentIntent(Contract):
    """A charge to make; the payment id is the provider's idempotency key."""

    payment_id: PaymentId
    order_id: OrderId
    currency: str
    amount: Annotated[Int64, BeforeValidator(_in_minor_units)]
    """In minor units of the currency. A text is read as a decimal, as histories of earlier builds have it."""

    @property
    def decimal_amount(self) -> Decimal:
        """The amount with exactly the decimals of its currency."""
        return to_decimal(self.amount, self.currency)


class Charge(Contract):
    """A charge that the provider made."""

    reference: ExternalName
    """The provider's own id of the charge."""


class VoidOutcome(StrEnum):
    """What a void found. In each case the payment id can never charge again."""

    NEVER_CHARGED = "never_charged"
    REFUNDED = "refunded"


class PaymentRecord(Contract):
    """A payment's row."""

    payment_id: str
    order_id: str
    status: PaymentStatus
    reference: str | None = None
    is_new: bool = False
    """Whether the call inserted the row. If so, no earlier attempt has called the provider."""


class RefundOrder(Contract):
    """Input of `RefundWorkflow`."""

    order_id: OrderId
    payment: PaymentIntent
    reason: str
    policy: OrderPolicy

    def memo(self) -> dict[str, str]:
        """Memo of the workflow, which distinguishes it from a workflow of another client with the same id."""
        return {names.MEMO_ORDER_ID: self.order_id, names.MEMO_PAYMENT_ID: self.payment.payment_id}
