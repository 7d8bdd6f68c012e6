"""What waits: unfinished orders, money under way, tasks in a queue; as the operator counts them now and then."""

from __future__ import annotations

from orderfleet.telemetry.catalog.declare import OPERATOR_ONLY, gauge, values

OPEN_ORDERS = gauge(
    "orderfleet_open_orders",
    "Orders in the record before their shipping or end, counted every 15 s.",
    OPERATOR_ONLY,
    step=values("receive", "validate", "manual_review", "charge", "shipping"),
)
OPEN_ORDER_OLDEST = gauge(
    "orderfleet_open_order_oldest_seconds",
    "Age of the oldest of them, since its start.",
    OPERATOR_ONLY,
    step="as above",
)
OVERDUE_ORDERS = gauge(
    "orderfleet_overdue_orders",
    "Those of them that are past their own deadline: each should be undone by now.",
    OPERATOR_ONLY,
    step="as above",
)
OVERDUE_ORDER_OLDEST = gauge(
    "orderfleet_overdue_order_oldest_seconds",
    "How long ago the first of these deadlines passed.",
    OPERATOR_ONLY,
    step="as above",
)
OPEN_PAYMENTS = gauge(
    "orderfleet_open_payments",
    "Payments in the record of which something is owed, counted every 15 s; `charged`: a refund that hasn't begun.",
    OPERATOR_ONLY,
    status=values("init", "charged", "refunding"),
)
OPEN_PAYMENT_OLDEST = gauge(
    "orderfleet_open_payment_oldest_seconds",
    "How long the longest of them has been so.",
    OPERATOR_ONLY,
    status="as above",
)
BACKLOG = gauge(
    "orderfleet_queue_backlog",
    "Tasks that wait for a worker, as Temporal tells, approximately, every 15 s.",
    OPERATOR_ONLY,
    task_queue="name of the queue",
    kind=values("workflow", "activity"),
)
BACKLOG_AGE = gauge(
    "orderfleet_queue_backlog_age_seconds",
    "How long the oldest of them has waited.",
    OPERATOR_ONLY,
    task_queue="name of the queue",
    kind="as above",
)
