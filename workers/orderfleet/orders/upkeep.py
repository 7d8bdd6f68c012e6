"""The activities of upkeep: find orders whose workflow was ended from outside, and record their end.

Called by the sweep and by the workflows that settle what it found.
"""

from __future__ import annotations

from temporalio import activity

from orderfleet.contracts.record import AuditEvent, EventKind
from orderfleet.contracts.settle import SettleInput, SweepInput, SweepResult
from orderfleet.contracts.status import Step
from orderfleet.contracts.steps import StepResult
from orderfleet.ports import ClosedWorkflows, OrphanStore


class UpkeepActivities:
    """The activities, over the record and Temporal's visibility."""

    def __init__(self, store: OrphanStore, closed: ClosedWorkflows) -> None:
        self._store = store
        self._closed = closed

    @activity.defn(name="find_orphans")
    async def find_orphans(self, sweep: SweepInput) -> SweepResult:
        """One query to Temporal's visibility, and one to the record if it found anything."""
        closed = await self._closed.ended_from_outside(sweep.since)
        unfinished = await self._store.unfinished(closed) if closed else []
        gone = [orphan for orphan in unfinished if not await self._closed.is_running(orphan.order_id)]
        return SweepResult(orphans=tuple(gone))

    @activity.defn(name="settle_record")
    async def settle_record(self, step: SettleInput) -> StepResult:
        """Record the end of an order in its workflow's place; one round trip."""
        end = Step.SHIPPED if step.shipped else Step.FAILED
        event = AuditEvent(
            key="workflow-closed-externally",
            kind=EventKind.WORKFLOW_CLOSED_EXTERNALLY,
            step=end,
            at=step.at,
            detail={"reason": step.reason},
        )
        await self._store.settle(step.order_id, step=end, reason=step.reason, event=event)
        return StepResult(attempt=activity.info().attempt)
