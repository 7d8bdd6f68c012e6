"""Orphaned orders and the sweep that finds them, and workflow ids that are in use."""

from __future__ import annotations

from orderfleet.contracts import names
from orderfleet.telemetry.catalog.declare import ORDERS_ONLY, counter, gauge, values

_SOURCES = ("visibility", "database")
_WORKFLOW_TYPES = (names.REFUND_WORKFLOW, names.COMPENSATION_WORKFLOW, names.SHIPPING_WORKFLOW)

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

# From 0 on, so that the first orphan or conflict is a rise.
for _source in _SOURCES:
    ORPHANS_FOUND.labels(source=_source)
for _workflow_type in _WORKFLOW_TYPES:
    WORKFLOW_ID_CONFLICTS.labels(workflow_type=_workflow_type)
