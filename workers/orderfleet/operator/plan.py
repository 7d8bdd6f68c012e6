"""What is to be done for an Order, from what it declares and what is known. Pure; `reconcile` executes.

Level-based: nothing here depends on what changed, only on how things are. The answer is the next
actions; once they are done and have taught what they teach, the plan is made anew.
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
    """Read what the record has under the order id."""

    order_id: str


@dataclass(frozen=True)
class AddFinalizer:
    """Add our finalizer: from now on the Order can't vanish unnoticed."""


@dataclass(frozen=True)
class StartWorkflow:
    """Start the workflow, or adopt it."""

    order: OrderInput


@dataclass(frozen=True)
class FindWorkflow:
    """Find out whether the order's own workflow was ever started."""

    claim: Claim


@dataclass(frozen=True)
class CheckWorkflow:
    """Find out whether the workflow that has recorded nothing still runs."""

    order_id: str


@dataclass(frozen=True)
class ApplySpec:
    """Tell the workflow what the Order declares now."""

    order_id: str
    spec_update: SpecUpdate


@dataclass(frozen=True)
class WriteStatus:
    """Show this status."""

    status: dict[str, Any]
    priority: WritePriority
    """How long it may wait for company."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Remove our finalizer; an ended Order gets the label that filters it out, in the same write."""

    ended: bool


Action: TypeAlias = (
    ReadRecord | AddFinalizer | StartWorkflow | FindWorkflow | CheckWorkflow | ApplySpec | WriteStatus | RemoveFinalizer
)


def plan(
    order: OrderResource, shown: dict[str, Any], observed: ObservedState, settings: Settings, now: datetime
) -> list[Action]:
    """The next actions; none when all is as it should be, or somebody else has to move.

    Args:
        order: the Order.
        shown: its status as the API server has it.
        known: what else is known of it.
        settings: the defaults of orders that start now.
        now: the time of conditions that change.
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
    """The next actions for a deleted Order of which no more can be read: what it started is canceled, then it goes.

    Whether another Order's order is the same as this one's, its content would tell: it is left alone, unless the
    status says that this one goes on with it. None waits for somebody who knows its deletion policy.
    """
    if order.status.ended:
        return [RemoveFinalizer(ended=True)] if order.has_finalizer else []
    if order.status.workflow_id is None:
        observed = replace(observed, conflict=observed.conflict or _recorded_conflict(order, observed))
    actions = _plan_deletion(order, observed)
    unknown = order.spec.deletion_policy not in set(DeletionPolicy)
    return None if unknown and any(isinstance(action, ApplySpec) for action in actions) else actions


def _plan_owned(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    """The order is its own: tell it what changed, show where it stands."""
    if observed.record is None and observed.workflow_unchecked:
        return [CheckWorkflow(order.order_id)]
    ended = observed.record.status.ended if observed.record is not None else observed.workflow_closed is not None
    actions: list[Action] = []
    if not ended and not order.has_finalizer:
        actions.append(AddFinalizer())
    if not ended and not observed.workflow_missing and order.metadata.generation > _sent_generation(order, observed):
        # Shown is what comes of it: a workflow that is missing would seem to be there in between.
        return [*actions, ApplySpec(order.order_id, spec_update(order))]
    actions += _plan_status(order, shown, observed, now)
    if ended and observed.record is not None and not observed.record.status.settled and order.has_finalizer:
        # A refund is still owed; following it needs no hold on the Order.
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _plan_status(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    wanted = wanted_status(order, observed, now)
    priority = write_priority(shown, wanted)
    return [WriteStatus(wanted, priority)] if priority is not WritePriority.NONE else []


def _plan_conflict(order: OrderResource, shown: dict[str, Any], observed: ObservedState, now: datetime) -> list[Action]:
    """The order is another's: say so, and hold nothing."""
    actions = _plan_status(order, shown, observed, now)
    if order.has_finalizer:
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _plan_deletion(order: DeletedOrder, observed: ObservedState) -> list[Action]:
    """The Order is deleted: let go of it as soon as its cancel is durable, or there is none to make."""
    if not order.has_finalizer:
        return []
    ended = observed.record.status.ended if observed.record is not None else observed.workflow_closed is not None
    gone = observed.workflow_missing or ended
    if observed.conflict is not None or gone or order.spec.deletion_policy == DeletionPolicy.ORPHAN:
        return [RemoveFinalizer(ended=False)]
    if observed.record is None and observed.workflow is None and order.status.workflow_id is None:
        # The operator may have gone between the start and the status that tells of it.
        if not observed.record_read:
            return [ReadRecord(order.order_id)]
        return [RemoveFinalizer(ended=False)] if observed.workflow_searched else [FindWorkflow(claim(order))]
    if observed.sent_generation < order.metadata.generation:
        return [ApplySpec(order.order_id, cancellation(order))]
    return [RemoveFinalizer(ended=False)]


def _find_conflict(order: OrderResource, observed: ObservedState) -> str | None:
    """Why the order id is another order's, by the record or by what was found before.

    An order id is used once, so a conflict never goes away.
    """
    accepted = order.status.condition(ConditionType.ACCEPTED)
    if accepted is not None and accepted.reason == Reason.CONFLICT:
        return accepted.message
    return _recorded_conflict(order, observed)


def _recorded_conflict(order: DeletedOrder, observed: ObservedState) -> str | None:
    """Why the record under its order id is another order's."""
    record = observed.record
    if record is None or record.owner_uid == order.metadata.uid:
        return None
    return conflict(claim(order), owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)


def _sent_generation(order: OrderResource, observed: ObservedState) -> int:
    return max(observed_generation(order, observed) or 0, observed.sent_generation)
