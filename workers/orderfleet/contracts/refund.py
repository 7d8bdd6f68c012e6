"""What is owed to a customer: the refund workflow's input."""

from __future__ import annotations

from orderfleet.contracts.base import Contract, OrderId
from orderfleet.contracts.payment import PaymentIntent
from orderfleet.contracts.policy import OrderPolicy


class RefundOrder(Contract):
    """Input of `RefundWorkflow`."""

    order_id: OrderId
    payment: PaymentIntent
    reason: str
    policy: OrderPolicy
