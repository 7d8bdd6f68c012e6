"""Requests to and results of the payment provider, and the input of a refund."""

from __future__ import annotations

from enum import StrEnum

from orderfleet.domain import names
from orderfleet.domain.base import Contract, ExternalName, OrderId, PaymentId
from orderfleet.domain.money import Money
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.status import PaymentStatus


class PaymentIntent(Contract):
    """A charge to make; the payment id is the provider's idempotency key."""

    payment_id: PaymentId
    order_id: OrderId
    amount: Money
    currency: str


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
