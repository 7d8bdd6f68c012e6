"""The operator's looks at Orders and its calls to Kubernetes."""

from __future__ import annotations

from orderfleet.telemetry.catalog.declare import CALLS, OPERATOR_ONLY, SHORT, counter, gauge, histogram, values

RECONCILES = counter(
    "orderfleet_operator_reconciles_total",
    "Looks at an Order.",
    OPERATOR_ONLY,
    result=values("ok", "temporal_away", "postgres_away", "kubernetes_away", "refused", "error"),
)
RECONCILE_DURATION = histogram(
    "orderfleet_operator_reconcile_duration_seconds", "One look at an Order.", OPERATOR_ONLY, SHORT
)
RECONCILE_CALLS = histogram(
    "orderfleet_operator_reconcile_api_calls",
    "Calls to the Kubernetes API server that one look at an Order made.",
    OPERATOR_ONLY,
    CALLS,
)
KUBERNETES_CALLS = counter(
    "orderfleet_operator_api_calls_total",
    "Calls to the Kubernetes API server, the watch not included.",
    OPERATOR_ONLY,
    verb=values("get", "patch", "post"),
    status="HTTP status, or `none` without an answer",
)
QUEUE_DEPTH = gauge("orderfleet_operator_queue_depth", "Orders that wait to be looked at, or are.", OPERATOR_ONLY)
OPERATOR_ORDERS = gauge(
    "orderfleet_operator_orders",
    "Orders in Kubernetes that have not ended, by the step that their status shows.",
    OPERATOR_ONLY,
    step="step, or `none` before the first status",
)
