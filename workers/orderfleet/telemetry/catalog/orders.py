"""Orders and their money, as the record takes them in."""

from __future__ import annotations

from orderfleet.contracts.status import PaymentStatus, Step
from orderfleet.telemetry.catalog.declare import LONG, ORDERS_ONLY, counter, histogram, values

ORDERS_RECEIVED = counter("orderfleet_orders_received_total", "Orders recorded for the first time.", ORDERS_ONLY)
ORDER_DURATION = histogram(
    "orderfleet_order_duration_seconds",
    "From an order's start to its recorded end; its count is the number of orders that ended.",
    ORDERS_ONLY,
    LONG,
    outcome=values(Step.SHIPPED, Step.DELIVERED, Step.CANCELED, Step.FAILED),
)
REVIEW_WAIT = histogram(
    "orderfleet_review_wait_seconds",
    "How long an order waited in manual review.",
    ORDERS_ONLY,
    LONG,
    outcome=values("approved", "canceled", "timed_out"),
)
PAYMENTS = counter(
    "orderfleet_payments_total",
    "Payments that reached a result.",
    ORDERS_ONLY,
    result=values(PaymentStatus.CHARGED.lower(), PaymentStatus.FAILED.lower(), PaymentStatus.VOIDED.lower()),
)
REFUNDS = counter(
    "orderfleet_refunds_total",
    "Refunds by result; those that are owed and not yet done are the difference.",
    ORDERS_ONLY,
    result=values("owed", "done"),
)
