"""`ReconciliationWorkflow`: compares the ledger of money with the payment provider's books, and repairs what is safe.

A Temporal Schedule starts it with the current settings, and `orderfleet payments reconcile` starts it for a range of
time. Its activities read, compare and write page by page; what it holds itself is positions and counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.reconciliation_run import (
        ReconcileInput,
        ReconcileResult,
        Reconciliation,
        ReconciliationProgress,
    )
    from orderfleet.orders.reconciliation_activities import ReconciliationActivities

from orderfleet.temporal.step_runner import ActivityRef, LastError, StepFailed, StepRunner, read_start

_WINDOW = ActivityRef(ReconciliationActivities.reconcile_window, ReconcileResult)
_OPEN = ActivityRef(ReconciliationActivities.reconcile_open, ReconcileResult)

OVERLAP: Final = timedelta(hours=1)
"""Look-back before the end of the last completed run: the provider's list may lag."""
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=30)
ATTEMPT_TIMEOUT: Final = timedelta(minutes=10)
"""A slow provider may take long to list an hour of payments; heartbeats show a lost worker sooner."""


@workflow.defn(name=names.RECONCILIATION_WORKFLOW)
class ReconciliationWorkflow(LastError):
    """One reconciliation."""

    def __init__(self) -> None:
        super().__init__()
        self._progress = ReconciliationProgress()

    @workflow.query(name=names.RECONCILIATION_PROGRESS)
    def progress(self, *_args: Any) -> ReconciliationProgress:
        """How far it is."""
        return self._progress

    @workflow.run
    async def run(self, *args: Any) -> ReconciliationProgress:
        """Reconcile once; a provider that does not list its payments is no failure.

        Raises:
            ApplicationError: an activity used up its attempts, or the input is rejected; the message has the reason.
                The schedule starts the next run.
        """
        given = read_start(Reconciliation, args)
        self._progress = given.progress or _range(given)
        steps = StepRunner(given.policy, self._on_error)
        policy = given.policy.record.model_copy(update={"attempt_timeout": ATTEMPT_TIMEOUT})
        for part, activity in (("window", _WINDOW), ("open", _OPEN)):
            while not (done := getattr(self._progress, part)).done:
                step = self._step(given, done.position)
                try:
                    result = await steps.run(activity, step, policy, heartbeat_timeout=HEARTBEAT_TIMEOUT)
                except StepFailed as failed:
                    raise ApplicationError(str(failed), type=failed.type, non_retryable=True) from failed
                self._progress = self._progress.model_copy(update={part: _sum(done, result)})
                if result.not_supported:
                    return self._progress
                if workflow.info().is_continue_as_new_suggested() and not result.done:
                    workflow.continue_as_new(given.model_copy(update={"progress": self._progress}))
        return self._progress

    def _step(self, given: Reconciliation, position: str) -> ReconcileInput:
        since, until, started = self._progress.since, self._progress.until, self._progress.started
        assert since is not None
        assert until is not None
        assert started is not None
        return ReconcileInput(
            order_id="",
            since=since,
            until=until,
            started=started,
            grace=given.grace,
            repair=given.repair,
            position=position,
        )


def _range(given: Reconciliation) -> ReconciliationProgress:
    """The range of time of a run that begins."""
    now = workflow.now()
    until = given.until or now
    since = given.since
    if since is None:
        since = min(until - given.window, _compared_until(given) or until)
    return ReconciliationProgress(since=since, until=until, started=now)


def _compared_until(given: Reconciliation) -> datetime | None:
    """Where the schedule's last completed run left off; None without one."""
    if not workflow.has_last_completion_result():
        return None
    try:
        last = workflow.get_last_completion_result(ReconciliationProgress)
    except Exception:  # noqa: BLE001 - without the result this run reads its window only
        return None
    if last is None or last.since is None or last.until is None:
        return None
    return last.since if last.not_supported else last.until - given.grace - OVERLAP


def _sum(before: ReconcileResult, result: ReconcileResult) -> ReconcileResult:
    return result.model_copy(
        update={
            "compared": before.compared + result.compared,
            "found": before.found + result.found,
            "repaired": before.repaired + result.repaired,
        }
    )
