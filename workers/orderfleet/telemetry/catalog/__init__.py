"""Every metric of the product, by subject; each module declares those of one.

The observers beside this package set them, `exposition` hands those of a role to Prometheus, and the page
`deploy/docs/metrics.md` is made from it. Names follow Prometheus' conventions
(https://prometheus.io/docs/practices/naming/). The order of the imports is the order of the page.
"""

# ruff: noqa: I001 - the order of the page

from orderfleet.telemetry.catalog.declare import CATALOG, LONG, SHORT, WORKERS, Declared, Exposer
from orderfleet.telemetry.catalog.orders import (
    ORDERS_RECEIVED,
    ORDER_DURATION,
    PAYMENTS,
    REFUNDS,
    REVIEW_WAIT,
)
from orderfleet.telemetry.catalog.orphans import (
    ORPHANS_FOUND,
    ORPHAN_SWEEP_COMPLETED,
    WORKFLOWS_MISSING,
    WORKFLOW_ID_CONFLICTS,
)
from orderfleet.telemetry.catalog.steps import (
    PROVIDER_CALL_DURATION,
    STEP_ATTEMPTS,
    STEP_DURATION,
    STEP_FAILURES,
    STEP_RETRIES,
    STEP_TIMEOUTS,
)
from orderfleet.telemetry.catalog.database import (
    DATABASE_DURATION,
    DATABASE_IN_USE,
    DATABASE_POOL_SIZE,
    DATABASE_WAIT,
    DATABASE_WAITING,
    FEED_CHANGES,
    FEED_LAG,
    FEED_LAG_ROWS,
)
from orderfleet.telemetry.catalog.operator import (
    KUBERNETES_CALLS,
    OPERATOR_ORDERS,
    QUEUE_DEPTH,
    RECONCILES,
    RECONCILE_CALLS,
    RECONCILE_DURATION,
)
from orderfleet.telemetry.catalog.waiting import (
    BACKLOG,
    BACKLOG_AGE,
    OPEN_ORDERS,
    OPEN_ORDER_OLDEST,
    OPEN_PAYMENTS,
    OPEN_PAYMENT_OLDEST,
    OVERDUE_ORDERS,
    OVERDUE_ORDER_OLDEST,
)
from orderfleet.telemetry.catalog.processes import (
    API_DURATION,
    BUILD,
)

__all__ = [
    "API_DURATION",
    "BACKLOG",
    "BACKLOG_AGE",
    "BUILD",
    "CATALOG",
    "DATABASE_DURATION",
    "DATABASE_IN_USE",
    "DATABASE_POOL_SIZE",
    "DATABASE_WAIT",
    "DATABASE_WAITING",
    "FEED_CHANGES",
    "FEED_LAG",
    "FEED_LAG_ROWS",
    "KUBERNETES_CALLS",
    "LONG",
    "OPEN_ORDERS",
    "OPEN_ORDER_OLDEST",
    "OPEN_PAYMENTS",
    "OPEN_PAYMENT_OLDEST",
    "OPERATOR_ORDERS",
    "ORDERS_RECEIVED",
    "ORDER_DURATION",
    "ORPHANS_FOUND",
    "ORPHAN_SWEEP_COMPLETED",
    "OVERDUE_ORDERS",
    "OVERDUE_ORDER_OLDEST",
    "PAYMENTS",
    "PROVIDER_CALL_DURATION",
    "QUEUE_DEPTH",
    "RECONCILES",
    "RECONCILE_CALLS",
    "RECONCILE_DURATION",
    "REFUNDS",
    "REVIEW_WAIT",
    "SHORT",
    "STEP_ATTEMPTS",
    "STEP_DURATION",
    "STEP_FAILURES",
    "STEP_RETRIES",
    "STEP_TIMEOUTS",
    "WORKERS",
    "WORKFLOWS_MISSING",
    "WORKFLOW_ID_CONFLICTS",
    "Declared",
    "Exposer",
]
