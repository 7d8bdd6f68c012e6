"""Payments: what the provider is told and what it answers."""

from __future__ import annotations

from enum import StrEnum

from orderfleet.domain import names
from orderfleet.domain.base import Contract, ExternalName, OrderId, PaymentId
from orderfleet.domain.money import Money
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.status import PaymentStatus


class PaymentIntent(Contract):
    """A charge to be made; the payment id is the provider's idempotency key."""

    payment_id: PaymentId
    order_id: OrderId
    amount: Money
    currency: str


class Charge(Contract):
    """The provider's proof of a charge."""

    reference: ExternalName
    """The provider's own id of the charge."""


class VoidOutcome(StrEnum):
    """What a void found; in each case the payment id can never charge again."""

    NEVER_CHARGED = "never_charged"
    GIVEN_BACK = "given_back"


class PaymentRecord(Contract):
    """A payment's row."""

    payment_id: str
    order_id: str
    status: PaymentStatus
    reference: str | None = None
    is_new: bool = False
    """Whether the call that returns it inserted it; then no earlier call can have asked the provider."""


class RefundOrder(Contract):
    """Input of `RefundWorkflow`."""

    order_id: OrderId
    payment: PaymentIntent
    reason: str
    policy: OrderPolicy

    def memo(self) -> dict[str, str]:
        """What the workflow is started with, so that one of another origin under the same id is recognized."""
        return {names.MEMO_ORDER_ID: self.order_id, names.MEMO_PAYMENT_ID: self.payment.payment_id}
