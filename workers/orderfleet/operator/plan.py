"""Plans the next actions for an Order from the Order and its observed state. Pure: `reconciler` executes them.

It is level-based: a plan depends on the current state, never on what changed. After its actions, whose results
update the observed state, the reconciler plans again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from orderfleet.domain.order import OrderInput, SpecUpdate
from orderfleet.operator.cache import ObservedState
from orderfleet.operator.conditions import ConditionType, Reason
from orderfleet.operator.crd import (
    DeletedOrder,
    DeletionPolicy,
    OrderResource,
    cancellation,
    claim,
    order_input,
    spec_update,
)
from orderfleet.operator.status import WritePriority, observed_generation, wanted_status, write_priority
from orderfleet.services.workflow_client import Claim, conflict
from orderfleet.settings import Settings


@dataclass(frozen=True)
class ReadRecord:
    """Read the order from the order store."""

    order_id: str


@dataclass(frozen=True)
class AddFinalizer:
    """Add the operator's finalizer, so the Order can't be deleted before its order is canceled."""


@dataclass(frozen=True)
class StartWorkflow:
    """Start the order's workflow, or adopt the one that an earlier Order of this name started."""

    order: OrderInput


@dataclass(frozen=True)
class FindWorkflow:
    """Search Temporal for the order's own workflow."""

    claim: Claim


@dataclass(frozen=True)
class CheckWorkflow:
    """Read from Temporal whether a workflow that has not recorded its order is running."""

    order_id: str


@dataclass(frozen=True)
class ApplySpec:
    """Send the mutable fields of the spec to the workflow."""

    order_id: str
    spec_update: SpecUpdate


@dataclass(frozen=True)
class WriteStatus:
    """Write the status, at once or with later changes."""

    status: dict[str, Any]
    priority: WritePriority
    """Whether the write is due at once or may be debounced."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Remove the operator's finalizer; if `ended`, the same write adds the label of ended Orders."""

    ended: bool


Action: TypeAlias = (
    ReadRecord | AddFinalizer | StartWorkflow | FindWorkflow | CheckWorkflow | ApplySpec | WriteStatus | RemoveFinalizer
)


def plan(
    order: OrderResource, shown: dict[str, Any], observed: ObservedState, settings: Settings, now: datetime
) -> list[Action]:
    """Plan the next actions for an Order.

    Args:
        order: the Order.
        shown: its current status.
        observed: the observed state of its order.
        settings: the defaults of orders that start now.
        now: transition time of conditions that change.

    Returns:
        The actions, in order; empty if the operator has nothing to do until a change.
    """
    if order.status.ended:
        return [RemoveFinalizer(ended=True)] if order.has_finalizer or not order.has_ended_label else []
    observed = replace(observed, conflict=observed.conflict or _find_conflict(order, observed))
    if order.deleting:
        return _plan_deletion(order, observed)
    if observed.conflict is not None:
        return _plan_conflict(order, shown, observed, now)
    if not observed.record_read:
        return [ReadRecord(order.order_id)]
    if observed.record is None and observed.workflow is None:
        start = StartWorkflow(order_input(order, settings))
        return [start] if order.has_finalizer else [AddFinalizer(), start]
    return _plan_owned(order, shown, observed, now)


def plan_deleted_invalid(order: DeletedOrder, observed: ObservedState) -> list[Action] | None:
    """Plan the next actions for a deleted Order with an invalid spec: cancel its order, then remove the finalizer.

    Without a valid spec there is no content hash to compare with an order that an earlier Order of this name started:
    that order is left alone, unless the status shows that this Order adopted it.

    Args:
        order: the valid part of the Order.
        observed: the observed state of its order.

    Returns:
        The actions; None if the deletion policy is unknown, so that a newer operator has to decide.
    """
    if order.status.ended:
        return [RemoveFinalizer(ended=True)] if order.has_finalizer else []
    if order.status.workflow_id is None:
        observed = replace(observed, conflict=observed.conflict or _recorded_conflict(order, observed))
    actions = _plan_deletion(order, observed)
    unknown = order.spec.deletion_policy not in set(DeletionPolicy)
    return None if unknown and any(isinstance(action, ApplySpec) for action in actions) else actions


def _plan_owned(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    """Plan for an Order that owns its order: send changes of the spec, and write the status."""
    if observed.record is None and observed.workflow_unchecked:
        return [CheckWorkflow(order.order_id)]
    actions: list[Action] = []
    if not observed.ended and not order.has_finalizer:
        actions.append(AddFinalizer())
    sent = max(observed_generation(order, observed) or 0, observed.sent_generation)
    if not observed.ended and not observed.workflow_missing and order.metadata.generation > sent:
        # No status until the result is known: a missing workflow would appear as running in between.
        return [*actions, ApplySpec(order.order_id, spec_update(order))]
    actions += _plan_status(order, shown, observed, now)
    if observed.ended and observed.record is not None and not observed.record.status.settled and order.has_finalizer:
        # A pending refund doesn't depend on the Order, so the Order can be deleted before.
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _plan_status(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    wanted = wanted_status(order, observed, now)
    priority = write_priority(shown, wanted)
    return [WriteStatus(wanted, priority)] if priority is not WritePriority.NONE else []


def _plan_conflict(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    """Plan for an Order whose order id belongs to another order: write the conflict, and remove the finalizer."""
    actions = _plan_status(order, shown, observed, now)
    if order.has_finalizer:
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _plan_deletion(order: DeletedOrder, observed: ObservedState) -> list[Action]:
    """Plan for a deleted Order: remove the finalizer once the cancel is durable or not needed."""
    if not order.has_finalizer:
        return []
    gone = observed.workflow_missing or observed.ended
    if observed.conflict is not None or gone or order.spec.deletion_policy == DeletionPolicy.ORPHAN:
        return [RemoveFinalizer(ended=False)]
    if observed.record is None and observed.workflow is None and order.status.workflow_id is None:
        # An operator may have stopped between the start and the status write.
        if not observed.record_read:
            return [ReadRecord(order.order_id)]
        return [RemoveFinalizer(ended=False)] if observed.workflow_searched else [FindWorkflow(claim(order))]
    if observed.sent_generation < order.metadata.generation:
        return [ApplySpec(order.order_id, cancellation(order))]
    return [RemoveFinalizer(ended=False)]


def _find_conflict(order: OrderResource, observed: ObservedState) -> str | None:
    """Why the order id belongs to another order, by the Order's status or by the order store; None if it doesn't.

    An order id is used only once, so a conflict is permanent.
    """
    accepted = order.status.condition(ConditionType.ACCEPTED)
    if accepted is not None and accepted.reason == Reason.CONFLICT:
        return accepted.message
    return _recorded_conflict(order, observed)


def _recorded_conflict(order: DeletedOrder, observed: ObservedState) -> str | None:
    """Why the stored order of this id belongs to another Order; None if it doesn't."""
    record = observed.record
    if record is None or record.owner_uid == order.metadata.uid:
        return None
    return conflict(claim(order), owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)
