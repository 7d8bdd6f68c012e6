"""All metrics of the product: names, help texts, labels, buckets and the roles that expose them.

Nothing is registered with Prometheus here; `exposition` does that. A label must never hold an id, a name or free text.
"""

from __future__ import annotations

from typing import Final

from orderfleet.domain import names
from orderfleet.domain.differences import DifferenceKind
from orderfleet.domain.status import HoldName, PaymentStatus, Step
from orderfleet.observability.metric_specs import (
    ALL,
    CALLS,
    CATALOG,  # noqa: F401 - read from here, it is complete
    LONG,
    OPERATOR_ONLY,
    ORDERS_ONLY,
    SHORT,
    WORKERS,
    Exposer,
    counter,
    gauge,
    histogram,
    values,
)

# Statements, the pool and the change feed.
DATABASE_DURATION = histogram(
    "orderfleet_database_operation_duration_seconds",
    "Duration of a statement, with the wait for a connection; its count is the number of statements.",
    ALL,
    SHORT,
    operation="name of the statement",
    outcome=values("ok", "unavailable", "canceled", "error"),
)
DATABASE_WAIT = histogram("orderfleet_database_pool_wait_seconds", "Wait for a connection from the pool.", ALL, SHORT)
DATABASE_WAITING = gauge("orderfleet_database_pool_waiting", "Statements waiting for a connection.", ALL)
DATABASE_IN_USE = gauge("orderfleet_database_pool_in_use", "Connections of the pool that are running a statement.", ALL)
DATABASE_POOL_SIZE = gauge("orderfleet_database_pool_size", "Maximum number of connections in the pool.", ALL)
CHANGE_FEED_LAG = gauge(
    "orderfleet_change_feed_lag_seconds", "Change-feed lag in seconds; NaN before the feed has started.", OPERATOR_ONLY
)
CHANGE_FEED_LAG_ROWS = gauge(
    "orderfleet_change_feed_lag_rows",
    "Changed orders that the feed has not delivered, as of its last poll; counted up to 100,000.",
    OPERATOR_ONLY,
)
CHANGE_FEED_CHANGES = counter(
    "orderfleet_change_feed_changes_total", "Changed orders that the feed delivered.", OPERATOR_ONLY
)

# The operator.
RECONCILES = counter(
    "orderfleet_operator_reconciles_total",
    "Reconciliations.",
    OPERATOR_ONLY,
    result=values("ok", "temporal_unavailable", "postgres_unavailable", "kubernetes_unavailable", "rejected", "error"),
)
RECONCILE_DURATION = histogram(
    "orderfleet_operator_reconcile_duration_seconds", "Duration of a reconciliation.", OPERATOR_ONLY, SHORT
)
RECONCILE_CALLS = histogram(
    "orderfleet_operator_reconcile_api_calls",
    "Calls to the Kubernetes API server in one reconciliation.",
    OPERATOR_ONLY,
    CALLS,
)
KUBERNETES_CALLS = counter(
    "orderfleet_operator_api_calls_total",
    "Calls to the Kubernetes API server, without watches.",
    OPERATOR_ONLY,
    verb=values("get", "patch", "post"),
    status="HTTP status, or `none` without a response",
)
QUEUE_DEPTH = gauge(
    "orderfleet_operator_queue_depth", "Orders that are queued for reconciliation or being reconciled.", OPERATOR_ONLY
)
OPERATOR_ORDERS = gauge(
    "orderfleet_operator_orders",
    "Orders in Kubernetes that have not ended, by the step in their status.",
    OPERATOR_ONLY,
    step="step, or `none` before the first status",
)

# Orders and payments.
ORDERS_RECEIVED = counter("orderfleet_orders_received_total", "Orders recorded for the first time.", ORDERS_ONLY)
ORDER_DURATION = histogram(
    "orderfleet_order_duration_seconds",
    "Time from an order's start to its recorded end; its count is the number of ended orders.",
    ORDERS_ONLY,
    LONG,
    outcome=values(Step.SHIPPED, Step.DELIVERED, Step.CANCELED, Step.FAILED),
)
REVIEW_WAIT = histogram(
    "orderfleet_review_wait_seconds",
    "Time an order waited in manual review.",
    ORDERS_ONLY,
    LONG,
    outcome=values("approved", "canceled", "timed_out"),
)
PAYMENT_RESULTS: Final = (PaymentStatus.CHARGED, PaymentStatus.FAILED, PaymentStatus.VOIDED)
PAYMENTS = counter(
    "orderfleet_payments_total",
    "Payments with a final result.",
    (Exposer.ORDERS, Exposer.API),
    result=values(*(status.lower() for status in PAYMENT_RESULTS)),
)
REFUND_RESULTS: Final = ("pending", "done", "failed", "refused")
REFUNDS = counter(
    "orderfleet_refunds_total",
    "Refunds, partial ones too: `pending` counts those that began, `done` those that were made, `failed` those that the"
    " payment provider refused or returned, `refused` requests of more than can be refunded.",
    (Exposer.ORDERS, Exposer.API),
    result=values(*REFUND_RESULTS),
)
DIFFERENCES_REPAIRED = counter(
    "orderfleet_payment_differences_repaired_total",
    "Differences between the ledger and the payment provider that a reconciliation repaired.",
    ORDERS_ONLY,
    kind="kind of the difference, as in `orderfleet payments differences`",
)
RECONCILIATIONS_NOT_SUPPORTED = counter(
    "orderfleet_reconciliations_not_supported_total",
    "Reconciliations that compared nothing, because the payment provider does not list its payments.",
    ORDERS_ONLY,
)
_SOURCES = ("visibility", "database")
_WORKFLOW_TYPES = (names.REFUND_WORKFLOW, names.COMPENSATION_WORKFLOW, names.SHIPPING_WORKFLOW)

# Orphaned orders and workflow ids.
ORPHAN_SWEEP_COMPLETED = gauge(
    "orderfleet_orphan_sweep_last_completed_timestamp_seconds",
    "When this worker last completed an orphan sweep, as Unix time; 0 before. Any worker of the fleet may run it.",
    ORDERS_ONLY,
)
ORPHANS_FOUND = counter(
    "orderfleet_orphans_found_total",
    "Orders without an end whose workflow was closed: their compensation was started.",
    ORDERS_ONLY,
    source=values(*_SOURCES),
)
WORKFLOWS_MISSING = counter(
    "orderfleet_order_workflows_missing_total",
    "Checks of an unfinished order that found no workflow of it in Temporal. The order is left as it is.",
    ORDERS_ONLY,
)
WORKFLOW_ID_CONFLICTS = counter(
    "orderfleet_workflow_id_conflicts_total",
    "Workflow ids that an order needed and a workflow of another origin had.",
    ORDERS_ONLY,
    workflow_type=values(*_WORKFLOW_TYPES),
)


# The counters exist with 0 from the start, so that `rate` sees the first refused refund, difference, orphan or conflict
# as a rise.
for _result in REFUND_RESULTS:
    REFUNDS.labels(result=_result)

for _kind in DifferenceKind:
    DIFFERENCES_REPAIRED.labels(kind=_kind)

for _source in _SOURCES:
    ORPHANS_FOUND.labels(source=_source)

for _workflow_type in _WORKFLOW_TYPES:
    WORKFLOW_ID_CONFLICTS.labels(workflow_type=_workflow_type)

# Processes.
API_DURATION = histogram(
    "orderfleet_api_request_duration_seconds",
    "Time from a request to the first byte of its response, without probes; its count is the number of requests.",
    (Exposer.API,),
    SHORT,
    method="HTTP method, or `other`",
    route="path of the route as in the OpenAPI document, or `none`",
    status="HTTP status",
)
PAYMENT_WEBHOOKS = counter(
    "orderfleet_payment_webhooks_total",
    "Reports of the payment provider about charges, refunds and disputes.",
    (Exposer.API,),
    event="the provider's name of the report",
    result=values("accepted", "ignored", "unknown"),
)
BUILD = gauge(
    "orderfleet_build_info",
    "Always 1; its labels identify the running build.",
    ALL,
    role="orders-worker, shipping-worker, worker, operator or api",
    version="version of Orderfleet, or the worker's build id if it has one",
    python="version of Python",
    temporalio="version of Temporal's SDK",
)

# Steps and calls to providers.
_ACTIVITY = "name of the activity"
STEP_ATTEMPTS = counter(
    "orderfleet_step_attempts_total",
    "Attempts started, those included that a kill or a timeout ended.",
    WORKERS,
    activity=_ACTIVITY,
    kind=values("local", "regular"),
)
STEP_RETRIES = counter(
    "orderfleet_step_retries_total", "Attempts started after the first one of an activity.", WORKERS, activity=_ACTIVITY
)
STEP_DURATION = histogram(
    "orderfleet_step_duration_seconds",
    "Duration of an attempt in the worker.",
    WORKERS,
    SHORT,
    activity=_ACTIVITY,
    outcome=values("ok", "failed", "timed_out", "canceled"),
)
STEP_FAILURES = counter(
    "orderfleet_step_failures_total",
    "Attempts that raised an exception, by its class.",
    WORKERS,
    activity=_ACTIVITY,
    error="class name of an error of Orderfleet's, or `other`",
)
STEP_TIMEOUTS = counter(
    "orderfleet_step_timeouts_total",
    "Attempts that ran longer than their timeout, with any result.",
    WORKERS,
    activity=_ACTIVITY,
)
PROVIDER_CALL_DURATION = histogram(
    "orderfleet_provider_call_duration_seconds",
    "Duration of a call to the payment provider or the carrier; its count is the number of calls.",
    WORKERS,
    SHORT,
    provider=values("payments", "carrier"),
    call=values(
        *("prepare", "charge", "authorize", "capture", "refund", "void", "look_up", "payments", "book", "void_booking")
    ),
    outcome=values("ok", "refused", "unavailable", "canceled", "error"),
)

# Backlogs.
OPEN_ORDERS = gauge(
    "orderfleet_open_orders",
    "Open orders in the order store that are not shipped, counted every 15 s.",
    OPERATOR_ONLY,
    step=values("receive", "validate", "manual_review", "charge", "shipping"),
)
OPEN_ORDER_OLDEST = gauge(
    "orderfleet_open_order_oldest_seconds",
    "Age of the oldest of these orders, since its start.",
    OPERATOR_ONLY,
    step="as above",
)
OVERDUE_ORDERS = gauge(
    "orderfleet_overdue_orders",
    "Those of these orders that are past their own deadline: each should have been canceled and compensated.",
    OPERATOR_ONLY,
    step="as above",
)
OVERDUE_ORDER_OLDEST = gauge(
    "orderfleet_overdue_order_oldest_seconds",
    "Time since the earliest of these deadlines.",
    OPERATOR_ONLY,
    step="as above",
)
HELD_ORDERS = gauge(
    "orderfleet_held_orders",
    "Orders that wait for the capture of their payment before their dispatch, counted every 15 s.",
    OPERATOR_ONLY,
    hold=values(*HoldName),
)
HELD_ORDER_OLDEST = gauge(
    "orderfleet_held_order_oldest_seconds", "Age of the oldest of these holds.", OPERATOR_ONLY, hold="as above"
)
OPEN_PAYMENTS = gauge(
    "orderfleet_open_payments",
    "Unfinished payments in the order store, counted every 15 s; `charged`: to be voided or refunded, because"
    " their orders are canceled or failed.",
    OPERATOR_ONLY,
    status=values("init", "charged", "refunding"),
)
OPEN_PAYMENT_OLDEST = gauge(
    "orderfleet_open_payment_oldest_seconds",
    "Longest time that one of these payments has been in its status.",
    OPERATOR_ONLY,
    status="as above",
)
DIFFERENCES = gauge(
    "orderfleet_payment_differences",
    "Open differences between the ledger and the payment provider, as the last reconciliation found them.",
    OPERATOR_ONLY,
    kind="kind of the difference, as in `orderfleet payments differences`",
    repair=values("automatic", "manual"),
)
DIFFERENCE_OLDEST = gauge(
    "orderfleet_payment_difference_oldest_seconds",
    "Time since the first reconciliation that found the oldest of these differences.",
    OPERATOR_ONLY,
    kind="as above",
    repair="as above",
)
STOCK_STATES = ("sold_out", "short")
STOCK_LEVELS = gauge(
    "orderfleet_stock_levels",
    "SKUs at one location without a free piece, counted every 15 s; `short`: fewer pieces are on hand than reserved.",
    OPERATOR_ONLY,
    state=values(*STOCK_STATES),
)
EXPIRED_RESERVATION_OLDEST = gauge(
    "orderfleet_stock_expired_reservation_oldest_seconds",
    "Time since the end of the oldest expired reservation of stock that still has a row; its pieces are free already.",
    OPERATOR_ONLY,
)
RECONCILED = gauge(
    "orderfleet_reconciliation_last_completed_timestamp_seconds",
    "When a reconciliation was last completed, as Unix time; 0 before the first, NaN without an answer of Postgres.",
    OPERATOR_ONLY,
)
BACKLOG = gauge(
    "orderfleet_queue_backlog",
    "Approximate number of tasks waiting for a worker, as Temporal reports it, every 15 s.",
    OPERATOR_ONLY,
    task_queue="name of the queue",
    kind=values("workflow", "activity"),
)
BACKLOG_AGE = gauge(
    "orderfleet_queue_backlog_age_seconds",
    "Time that the oldest of these tasks has waited.",
    OPERATOR_ONLY,
    task_queue="name of the queue",
    kind="as above",
)
