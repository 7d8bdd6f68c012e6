"""What is owed to a customer: the refund workflow's input, and the memo it is recognized by."""

from __future__ import annotations

from orderfleet.contracts import names
from orderfleet.contracts.base import Contract
from orderfleet.contracts.payment import PaymentIntent
from orderfleet.contracts.policy import OrderPolicy


class RefundOrder(Contract):
    """Input of `RefundWorkflow`."""

    order_id: str
    payment: PaymentIntent
    reason: str
    policy: OrderPolicy

    def memo(self) -> dict[str, str]:
        """What the workflow is started with, so that one of another origin under the same id is recognized."""
        return {names.MEMO_ORDER_ID: self.order_id, names.MEMO_PAYMENT_ID: self.payment.payment_id}
