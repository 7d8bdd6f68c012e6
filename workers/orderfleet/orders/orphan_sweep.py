"""`OrphanSweepWorkflow`: finds unfinished orders whose workflow is closed, and starts their compensation.

A Temporal Schedule starts each run with the current settings, also after a run that failed or was terminated. A run
reads the order workflows that closed recently, and a batch of the unfinished orders in the database, which finds what
visibility does not show. Only the database decides which orders are unfinished.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.orphans import (
        OrphanSweep,
        SweepClosedInput,
        SweepProgress,
        SweepResult,
        SweepUnfinishedInput,
    )
    from orderfleet.orders.maintenance import MaintenanceActivities

from orderfleet.temporal.step_runner import ActivityRef, LastError, StepFailed, StepRunner, read_start

_CLOSED = ActivityRef(MaintenanceActivities.sweep_closed_workflows, SweepResult)
_UNFINISHED = ActivityRef(MaintenanceActivities.sweep_unfinished_orders, SweepResult)

FIRST_LOOK_BACK: Final = timedelta(days=1)
"""Look-back of a run without the result of a completed one."""
OVERLAP: Final = timedelta(minutes=75)
"""Look-back before the start of the last completed run: visibility may lag by an hour."""
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=20)
ATTEMPT_TIMEOUT: Final = timedelta(minutes=10)
"""A page of 200 orphans took over 2 minutes on a machine without free CPU; heartbeats show a lost worker sooner."""


@workflow.defn(name=names.ORPHAN_SWEEP_WORKFLOW)
class OrphanSweepWorkflow(LastError):
    """One run of the orphan sweep."""

    @workflow.run
    async def run(self, *args: Any) -> SweepProgress:
        """Sweep once.

        Raises:
            ApplicationError: an activity used up its attempts, or the input is rejected; the message has the reason.
                The schedule starts the next run.
        """
        sweep = read_start(OrphanSweep, args)
        self._steps = StepRunner(sweep.policy, self._on_error)
        self._policy = sweep.policy.record.model_copy(update={"attempt_timeout": ATTEMPT_TIMEOUT})
        started = workflow.now()
        before = _last_progress()
        since = min(before.started_at, started) - OVERLAP if before.started_at else started - FIRST_LOOK_BACK
        try:
            found = await self._sweep_closed(sweep, since)
            step = SweepUnfinishedInput(
                order_id="", after=before.checked_until, limit=sweep.batch, idle=sweep.idle, policy=sweep.policy
            )
            checked = await self._steps.run(_UNFINISHED, step, self._policy, heartbeat_timeout=HEARTBEAT_TIMEOUT)
        except StepFailed as failed:
            raise ApplicationError(str(failed), type=failed.type, non_retryable=True) from failed
        return SweepProgress(checked_until=checked.position or "", started_at=started, found=found + checked.found)

    async def _sweep_closed(self, sweep: OrphanSweep, since: datetime) -> int:
        """Compensate the orphans among the order workflows that closed since a time; returns their number."""
        token, found = None, 0
        while True:
            step = SweepClosedInput(order_id="", since=since, page_token=token, policy=sweep.policy)
            swept = await self._steps.run(_CLOSED, step, self._policy, heartbeat_timeout=HEARTBEAT_TIMEOUT)
            found += swept.found
            if swept.done:
                return found
            token = swept.position


def _last_progress() -> SweepProgress:
    """Result of the schedule's last completed run; the default without one."""
    if not workflow.has_last_completion_result():
        return SweepProgress()
    try:
        return workflow.get_last_completion_result(SweepProgress) or SweepProgress()
    except Exception:  # noqa: BLE001 - without the result this run only reads more
        return SweepProgress()
