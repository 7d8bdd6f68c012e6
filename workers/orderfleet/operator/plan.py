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
    declaration,
    order_input,
)
from orderfleet.operator.status import WritePriority, observed, wanted_status, write_priority
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
class Start:
    """Start the workflow, or adopt it."""

    order: OrderInput


@dataclass(frozen=True)
class Find:
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
    declaration: SpecUpdate


@dataclass(frozen=True)
class WriteStatus:
    """Show this status."""

    status: dict[str, Any]
    worth: WritePriority
    """How long it may wait for company."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Remove our finalizer; an ended Order gets the label that filters it out, in the same write."""

    ended: bool


Action: TypeAlias = ReadRecord | AddFinalizer | Start | Find | CheckWorkflow | ApplySpec | WriteStatus | RemoveFinalizer


def plan(
    order: OrderResource, shown: dict[str, Any], known: ObservedState, settings: Settings, now: datetime
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
        return [RemoveFinalizer(ended=True)] if order.held or not order.filed else []
    known = replace(known, taken=known.taken or _taken(order, known))
    if order.deleting:
        return _leave(order, known)
    if known.taken is not None:
        return _keep_off(order, shown, known, now)
    if not known.record_read:
        return [ReadRecord(order.order_id)]
    if known.record is None and known.workflow is None:
        start = Start(order_input(order, settings))
        return [start] if order.held else [AddFinalizer(), start]
    return _follow(order, shown, known, now)


def plan_unread(order: DeletedOrder, known: ObservedState) -> list[Action] | None:
    """The next actions for a deleted Order of which no more can be read: what it started is canceled, then it goes.

    Whether another Order's order is the same as this one's, its content would tell: it is left alone, unless the
    status says that this one goes on with it. None waits for somebody who knows its deletion policy.
    """
    if order.status.ended:
        return [RemoveFinalizer(ended=True)] if order.held else []
    if order.status.workflow_id is None:
        known = replace(known, taken=known.taken or _other(order, known))
    actions = _leave(order, known)
    unknown = order.spec.deletion_policy not in set(DeletionPolicy)
    return None if unknown and any(isinstance(action, ApplySpec) for action in actions) else actions


def _follow(order: OrderResource, shown: dict[str, Any], known: ObservedState, now: datetime) -> list[Action]:
    """The order is its own: tell it what changed, show where it stands."""
    if known.record is None and known.workflow_unchecked:
        return [CheckWorkflow(order.order_id)]
    ended = known.record.status.ended if known.record is not None else known.workflow_closed is not None
    actions: list[Action] = []
    if not ended and not order.held:
        actions.append(AddFinalizer())
    if not ended and not known.workflow_missing and order.metadata.generation > _told(order, known):
        # Shown is what comes of it: a workflow that is missing would seem to be there in between.
        return [*actions, ApplySpec(order.order_id, declaration(order))]
    actions += _show(order, shown, known, now)
    if ended and known.record is not None and not known.record.status.settled and order.held:
        # A refund is still owed; following it needs no hold on the Order.
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _show(order: OrderResource, shown: dict[str, Any], known: ObservedState, now: datetime) -> list[Action]:
    wanted = wanted_status(order, known, now)
    value = write_priority(shown, wanted)
    return [WriteStatus(wanted, value)] if value is not WritePriority.NOTHING else []


def _keep_off(order: OrderResource, shown: dict[str, Any], known: ObservedState, now: datetime) -> list[Action]:
    """The order is another's: say so, and hold nothing."""
    actions = _show(order, shown, known, now)
    if order.held:
        actions.append(RemoveFinalizer(ended=False))
    return actions


def _leave(order: DeletedOrder, known: ObservedState) -> list[Action]:
    """The Order is deleted: let go of it as soon as its cancel is durable, or there is none to make."""
    if not order.held:
        return []
    ended = known.record.status.ended if known.record is not None else known.workflow_closed is not None
    gone = known.workflow_missing or ended
    if known.taken is not None or gone or order.spec.deletion_policy == DeletionPolicy.ORPHAN:
        return [RemoveFinalizer(ended=False)]
    if known.record is None and known.workflow is None and order.status.workflow_id is None:
        # The operator may have gone between the start and the status that tells of it.
        if not known.record_read:
            return [ReadRecord(order.order_id)]
        return [RemoveFinalizer(ended=False)] if known.workflow_sought else [Find(claim(order))]
    if known.told_generation < order.metadata.generation:
        return [ApplySpec(order.order_id, cancellation(order))]
    return [RemoveFinalizer(ended=False)]


def _taken(order: OrderResource, known: ObservedState) -> str | None:
    """Why the order id is another order's, by the record or by what was found before.

    An order id is used once, so a conflict never goes away.
    """
    accepted = order.status.condition(ConditionType.ACCEPTED)
    if accepted is not None and accepted.reason == Reason.CONFLICT:
        return accepted.message
    return _other(order, known)


def _other(order: DeletedOrder, known: ObservedState) -> str | None:
    """Why the record under its order id is another order's."""
    record = known.record
    if record is None or record.owner_uid == order.metadata.uid:
        return None
    return conflict(claim(order), owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)


def _told(order: OrderResource, known: ObservedState) -> int:
    return max(observed(order, known) or 0, known.told_generation)
