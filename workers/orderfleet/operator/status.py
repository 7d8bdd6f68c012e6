"""The status that an Order should show, and what its difference to the shown one is worth. Pure.

`plan` calls it. What people and programs wait for (steps, conditions, the observed generation) is
written at once; details (retries, the last error) may wait for company, so that an order costs few
writes; how far a shipment is may wait longer, because its end is a step; the time of the last change
alone is no reason to write.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Final

from orderfleet.domain import names
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.operator.cache import ObservedState
from orderfleet.operator.conditions import ConditionType, compute_conditions, conditions, unread, unrecorded
from orderfleet.operator.crd import OrderResource, OrderState, PaymentState, ShipmentState

_AT_ONCE: Final = ("observedGeneration", "step", "canceled", "ended")
_LATER: Final = ("shipments", "trackingNumber")
BEGINNING: Final = (Step.RECEIVE, Step.VALIDATE)
"""Steps that an order passes before anything of it is decided."""
_NOT_WORTH_A_WRITE: Final = ("updatedAt",)
_PROGRESS: Final = (ConditionType.APPROVED, ConditionType.CHARGED, ConditionType.SHIPPED)
"""Conditions that say nothing new when they appear and don't hold, or before anything is decided."""


class WritePriority(Enum):
    """What a difference is worth."""

    NOTHING = "nothing"
    LATER = "later"
    SOON = "soon"
    AT_ONCE = "at once"


def write_priority(shown: dict[str, Any], wanted: dict[str, Any]) -> WritePriority:
    """How much the difference between two statuses matters."""
    changed = {name for name in shown.keys() | wanted.keys() if shown.get(name) != wanted.get(name)}
    if not changed.difference(_NOT_WORTH_A_WRITE):
        return WritePriority.NOTHING
    # What is not there yet is as good as false.
    if any((shown.get(name) or False) != (wanted.get(name) or False) for name in _AT_ONCE):
        return WritePriority.AT_ONCE
    if _news(shown, wanted):
        return WritePriority.AT_ONCE
    details = changed.difference(_NOT_WORTH_A_WRITE, _LATER)
    return WritePriority.SOON if details and wanted.get("step") not in BEGINNING else WritePriority.LATER


def _news(shown: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the conditions say something else, their messages and times aside."""
    before = {told["type"]: (told["status"], told["reason"]) for told in shown.get("conditions", ())}
    decided = wanted.get("step") not in BEGINNING
    return any(
        before.get(told["type"]) != (told["status"], told["reason"])
        for told in wanted["conditions"]
        if told["type"] not in _PROGRESS or (decided and (told["type"] in before or told["status"] == "True"))
    )


def change(shown: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that turns one status into the other."""
    patch: dict[str, Any] = {}
    for name in shown.keys() | wanted.keys():
        before, after = shown.get(name), wanted.get(name)
        if isinstance(before, dict) and isinstance(after, dict) and before != after:
            patch[name] = change(before, after)
        elif before != after:
            patch[name] = after
    return patch


def observed(order: OrderResource, known: ObservedState) -> int | None:
    """The last generation of the spec that was taken or refused."""
    record = known.record
    if known.taken is not None or known.workflow_closed is not None or (record is not None and record.status.ended):
        return order.metadata.generation
    heard = [order.status.observed_generation or 0, known.started_generation]
    if record is not None and record.status.declared.owner_uid == order.metadata.uid:
        heard.append(record.status.declared.generation)
    return max(heard) or None


def wanted_status(order: OrderResource, known: ObservedState, now: datetime) -> dict[str, Any]:
    """The status subresource as it should be."""
    generation = observed(order, known)
    state = _state(known, order).model_copy(
        update={
            "observed_generation": generation,
            "order_id": order.order_id,
            "conditions": conditions(compute_conditions(order, known), order.status, generation=generation, now=now),
        }
    )
    return state.body()


def invalid_spec_status(shown: dict[str, Any], generation: int, problem: str, now: datetime) -> dict[str, Any]:
    """The status of an Order that this operator can't read; what it showed stays."""
    before = OrderState.model_validate(shown)
    told = conditions(unread(problem), before, generation=generation, now=now)
    return {**shown, "conditions": [condition.model_dump(by_alias=True, exclude_none=True) for condition in told]}


def _state(known: ObservedState, order: OrderResource) -> OrderState:
    if known.taken is not None:
        return OrderState()
    if known.record is not None:
        return _recorded(known.record)
    if known.workflow is not None:
        closed = known.workflow_closed
        return OrderState(
            workflow_id=known.workflow.workflow_id,
            run_id=known.workflow.run_id,
            step=Step.RECEIVE if closed is None else Step.FAILED,
            last_error=None if closed is None else unrecorded(closed),
            ended=None if closed is None else True,
            completed_at=None if closed is None else closed.at,
        )
    # Nothing new is known: what was written before stays.
    return order.status


def _recorded(record: RecordedOrder) -> OrderState:
    status = record.status
    return OrderState(
        workflow_id=names.order_workflow_id(record.order_id),
        run_id=status.run_id,
        step=status.step,
        approved=status.approved,
        canceled=status.canceled,
        cancel_reason=status.cancel_reason,
        payment=PaymentState(
            id=status.payment.id,
            status=status.payment.status,
            amount=str(status.payment.amount),
            currency=status.payment.currency,
        ),
        shipments=tuple(ShipmentState(**shipment.model_dump()) for shipment in status.shipments) or None,
        tracking_number=_tracking_number(status),
        dispatch_failed_reason=status.dispatch_failed_reason,
        last_error=status.last_error,
        retries=dict(status.retries) or None,
        ended=status.settled or None,
        created_at=status.created_at,
        updated_at=status.updated_at,
        completed_at=status.completed_at,
    )


def _tracking_number(status: OrderStatus) -> str | None:
    return next((told.tracking_number for told in reversed(status.shipments) if told.tracking_number), None)
