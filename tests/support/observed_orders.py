"""Factories of Orders, rows of the order store and observed states."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.status import (
    OrderStatus,
    PaymentStatus,
    PaymentView,
    ShipmentView,
    SpecOutcome,
    SpecResult,
    Step,
)
from orderfleet.operator.cache import ObservedState
from orderfleet.operator.crd import OrderResource, spec_hash
from orderfleet.operator.plan import Action, plan
from orderfleet.services.errors import Started, StartOutcome
from orderfleet.settings import Settings
from support.factories import ADDRESS, ADDRESS_JSON

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTINGS = Settings()
FINALIZER = "orderfleet.dev/order"
ENDED = "orderfleet.dev/ended"


def body(
    *, status: dict[str, Any] | None = None, has_finalizer: bool = True, generation: int = 1, **changes: Any
) -> dict[str, Any]:
    """An Order as JSON.

    Args:
        status: its status.
        has_finalizer: whether it has the operator's finalizer.
        generation: of its metadata.
        changes: fields of the metadata or else of the spec.
    """
    metadata = {
        "namespace": "shop",
        "name": "o-1",
        "uid": "uid-1",
        "generation": generation,
        "resourceVersion": "7",
        "finalizers": [FINALIZER] if has_finalizer else [],
    }
    for name in ("uid", "labels", "deletionTimestamp", "name", "finalizers"):
        if name in changes:
            metadata[name] = changes.pop(name)
    spec = {"items": [{"sku": "a", "qty": 1, "price": "2.50"}], "address": ADDRESS_JSON, **changes}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def order(**changes: Any) -> OrderResource:
    return OrderResource.model_validate(body(**changes))


def record(
    step: Step = Step.MANUAL_REVIEW,
    *,
    owner: str = "shop/o-1",
    owner_uid: str = "uid-1",
    content_hash: str | None = None,
    version: int = 1,
    declared: int = 1,
    declared_by: str = "uid-1",
    rejected: str = "",
    payment: PaymentStatus | None = None,
    shipments: tuple[ShipmentView, ...] = (),
    **changes: Any,
) -> RecordedOrder:
    of = order()
    if step in {Step.CANCELED, Step.FAILED, Step.SHIPPED, Step.DELIVERED}:
        changes.setdefault("completed_at", NOW)
    outcome = SpecOutcome.REJECTED if rejected else SpecOutcome.APPLIED
    given: dict[str, Any] = {
        "order_id": of.order_id,
        "workflow_id": f"order-{of.order_id}",
        "run_id": "run-1",
        "step": step,
        "address": ADDRESS,
        "payment": PaymentView(id=f"pay-{of.order_id}", status=payment, amount="2.50", currency="USD"),
        "shipments": shipments,
        "declared": SpecResult(generation=declared, owner_uid=declared_by, outcome=outcome, reason=rejected),
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }
    return RecordedOrder(
        order_id=of.order_id,
        owner=owner,
        owner_uid=owner_uid,
        content_hash=spec_hash(of) if content_hash is None else content_hash,
        version=version,
        status=OrderStatus(**given),
    )


def started() -> Started:
    return Started(order_id="o-1", workflow_id="order-o-1", run_id="run-1", outcome=StartOutcome.STARTED)


def observed(recorded: RecordedOrder | None = None, **changes: Any) -> ObservedState:
    return ObservedState(record=recorded, record_read=True, **changes)


def planned(order_body: dict[str, Any], state: ObservedState) -> list[Action]:
    """The plan for an Order's JSON."""
    return plan(OrderResource.model_validate(order_body), order_body["status"], state, SETTINGS, NOW)


def kinds(actions: list[Action]) -> list[str]:
    return [type(action).__name__ for action in actions]
