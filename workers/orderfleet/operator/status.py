"""Computes an Order's status from its observed state, and the priority of the write. Pure.

Steps, conditions and the observed generation, which people and programs wait for, are written at once. Details
(retries, the last error) are debounced, to write an Order few times; the state of a shipment longer, because its end
is a step. A new update time alone is not written.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Final

from orderfleet.domain import names
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.status import Step
from orderfleet.operator.cache import ObservedState
from orderfleet.operator.conditions import (
    ConditionType,
    build_conditions,
    compute_conditions,
    describe_unrecorded_end,
    invalid_spec_conditions,
)
from orderfleet.operator.crd import HoldState, OrderResource, OrderResourceStatus, PaymentState, ShipmentState

_IMMEDIATE_FIELDS: Final = ("observedGeneration", "step", "canceled", "ended")
_LOW_PRIORITY_FIELDS: Final = ("shipments", "trackingNumber")
INITIAL_STEPS: Final = (Step.RECEIVE, Step.VALIDATE)
"""Steps of an order before its first decision."""
_IGNORED_FIELDS: Final = ("updatedAt",)
_PROGRESS_CONDITIONS: Final = (ConditionType.APPROVED, ConditionType.CHARGED, ConditionType.SHIPPED)
"""Conditions that are no reason to write while they are new and false, or in an initial step."""


class WritePriority(Enum):
    """How soon a changed status is written."""

    NONE = "none"
    LOW = "low"
    NORMAL = "normal"
    IMMEDIATE = "immediate"


def write_priority(shown: dict[str, Any], wanted: dict[str, Any]) -> WritePriority:
    """The priority of writing a status.

    Args:
        shown: the current status.
        wanted: the status to write.
    """
    changed = {name for name in shown.keys() | wanted.keys() if shown.get(name) != wanted.get(name)}
    if not changed.difference(_IGNORED_FIELDS):
        return WritePriority.NONE
    # An absent field is equal to false.
    if any((shown.get(name) or False) != (wanted.get(name) or False) for name in _IMMEDIATE_FIELDS):
        return WritePriority.IMMEDIATE
    if _conditions_differ(shown, wanted):
        return WritePriority.IMMEDIATE
    details = changed.difference(_IGNORED_FIELDS, _LOW_PRIORITY_FIELDS)
    return WritePriority.NORMAL if details and wanted.get("step") not in INITIAL_STEPS else WritePriority.LOW


def _conditions_differ(shown: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the status or reason of a condition differs."""
    before = {
        condition["type"]: (condition["status"], condition["reason"]) for condition in shown.get("conditions", ())
    }
    decided = wanted.get("step") not in INITIAL_STEPS
    return any(
        before.get(condition["type"]) != (condition["status"], condition["reason"])
        for condition in wanted["conditions"]
        if condition["type"] not in _PROGRESS_CONDITIONS
        or (decided and (condition["type"] in before or condition["status"] == "True"))
    )


def merge_patch(shown: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that turns `shown` into `wanted`."""
    patch: dict[str, Any] = {}
    for name in shown.keys() | wanted.keys():
        before, after = shown.get(name), wanted.get(name)
        if isinstance(before, dict) and isinstance(after, dict) and before != after:
            patch[name] = merge_patch(before, after)
        elif before != after:
            patch[name] = after
    return patch


def observed_generation(order: OrderResource, observed: ObservedState) -> int | None:
    """The last generation of the spec that was accepted or rejected; None if there is none."""
    record = observed.record
    if (
        observed.conflict is not None
        or observed.workflow_closed is not None
        or (record is not None and record.status.ended)
    ):
        return order.metadata.generation
    generations = [order.status.observed_generation or 0, observed.started_generation]
    if record is not None and record.status.declared.owner_uid == order.metadata.uid:
        generations.append(record.status.declared.generation)
    return max(generations) or None


def wanted_status(order: OrderResource, observed: ObservedState, now: datetime) -> dict[str, Any]:
    """Compute the status of an Order as JSON.

    Args:
        order: the Order.
        observed: the observed state of its order.
        now: transition time of conditions that change.
    """
    generation = observed_generation(order, observed)
    state = _state(observed, order).model_copy(
        update={
            "observed_generation": generation,
            "order_id": order.order_id,
            "conditions": build_conditions(
                compute_conditions(order, observed), order.status, generation=generation, now=now
            ),
        }
    )
    return state.body()


def invalid_spec_status(shown: dict[str, Any], generation: int, problem: str, now: datetime) -> dict[str, Any]:
    """Compute the status of an Order whose spec is invalid: other fields than the conditions stay.

    Args:
        shown: the current status.
        generation: of the Order.
        problem: what is invalid.
        now: transition time of conditions that change.
    """
    before = OrderResourceStatus.model_validate(shown)
    conditions = build_conditions(invalid_spec_conditions(problem), before, generation=generation, now=now)
    return {**shown, "conditions": [condition.model_dump(by_alias=True, exclude_none=True) for condition in conditions]}


def payment_fields(record: RecordedOrder) -> dict[str, Any]:
    """The fields of the status that change with the payment alone, as JSON."""
    body = _recorded(record).body()
    return {"payment": body["payment"], "updatedAt": body["updatedAt"]}


def _state(observed: ObservedState, order: OrderResource) -> OrderResourceStatus:
    if observed.conflict is not None:
        return OrderResourceStatus()
    if observed.record is not None:
        return _recorded(observed.record)
    if observed.workflow is not None:
        closed = observed.workflow_closed
        return OrderResourceStatus(
            workflow_id=observed.workflow.workflow_id,
            run_id=observed.workflow.run_id,
            step=Step.RECEIVE if closed is None else Step.FAILED,
            last_error=None if closed is None else describe_unrecorded_end(closed),
            ended=None if closed is None else True,
            completed_at=None if closed is None else closed.at,
        )
    # Nothing is observed yet, so the current status stays.
    return order.status


def _recorded(record: RecordedOrder) -> OrderResourceStatus:
    status = record.status
    fields = dict(status) | {
        "workflow_id": names.order_workflow_id(record.order_id),
        "payment": PaymentState(**dict(status.payment)),
        "hold": status.hold and HoldState(**dict(status.hold)),
        "shipments": tuple(ShipmentState(**dict(shipment)) for shipment in status.shipments) or None,
        "tracking_number": status.tracking_number,
        "retries": dict(status.retries) or None,
        "ended": status.settled or None,
    }
    return OrderResourceStatus(**fields)
