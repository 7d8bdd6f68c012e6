"""The Temporal Schedules of the order workers: the orphan sweep and the reconciliation, one of each per task queue.

An order worker creates them at its start, or updates them to the worker's settings, and creates them again if they were
deleted. A schedule stays paused where an operator paused it. One without an interval is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain import names
from orderfleet.domain.base import Contract
from orderfleet.domain.orphans import OrphanSweep
from orderfleet.domain.reconciliation_run import Reconciliation
from orderfleet.observability.tracing import untraced
from orderfleet.settings import Settings

_log = structlog.get_logger()

IDLE: Final = timedelta(minutes=10)
"""Orders that changed within this time are not checked by the orphan sweep: their workflow was running then."""
CHECK_SECONDS: Final = 60.0
"""Interval of the check that the schedules exist."""
CATCH_UP: Final = timedelta(minutes=1)
"""Runs that Temporal missed by more than this, while unavailable, are skipped."""


@dataclass(frozen=True)
class WorkflowSchedule:
    """A workflow that starts at an interval."""

    id: str
    """Of the schedule, and the prefix of its workflows' ids."""
    workflow: str
    """Type of the workflow."""
    input: Contract
    task_queue: str
    every: timedelta
    """0 for none."""
    limit: timedelta
    """Longest duration of one run, so that a blocked one does not prevent the next."""

    def wanted(self) -> Schedule:
        """The schedule as Temporal should have it."""
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow, self.input, id=self.id, task_queue=self.task_queue, execution_timeout=self.limit
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=self.every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        )


def schedules(settings: Settings) -> tuple[WorkflowSchedule, ...]:
    """The schedules of the order workers with these settings."""
    return orphan_sweep(settings), reconciliation(settings)


def orphan_sweep(settings: Settings, idle: timedelta = IDLE) -> WorkflowSchedule:
    """The schedule of the orphan sweep.

    Args:
        settings: of the worker.
        idle: unfinished orders that changed within this time are not checked against Temporal.
    """
    return WorkflowSchedule(
        id=names.orphan_sweep_id(settings.orders_task_queue),
        workflow=names.ORPHAN_SWEEP_WORKFLOW,
        input=OrphanSweep(policy=settings.order_policy(), batch=settings.orphan_sweep_batch, idle=idle),
        task_queue=settings.orders_task_queue,
        every=settings.orphan_sweep_interval,
        limit=timedelta(hours=1),
    )


def reconciliation(settings: Settings) -> WorkflowSchedule:
    """The schedule of the reconciliation of ledger and payment provider."""
    return WorkflowSchedule(
        id=names.reconciliation_id(settings.orders_task_queue),
        workflow=names.RECONCILIATION_WORKFLOW,
        input=Reconciliation(
            policy=settings.order_policy(),
            window=settings.reconciliation_window,
            grace=settings.reconciliation_grace,
        ),
        task_queue=settings.orders_task_queue,
        every=settings.reconciliation_interval,
        limit=timedelta(days=1),
    )


async def ensure_schedule(client: Client, schedule: WorkflowSchedule) -> None:
    """Create the schedule, or update it; delete it if it has no interval.

    Args:
        client: a connected client.
        schedule: as the worker's settings have it.

    Raises:
        RPCError: Temporal did not answer.
    """
    handle = client.get_schedule_handle(schedule.id)
    with untraced():
        if not schedule.every:
            try:
                await handle.delete()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            return
        wanted = schedule.wanted()
        try:
            await client.create_schedule(schedule.id, wanted)
        except ScheduleAlreadyRunningError:
            await handle.update(lambda found: _updated(found, wanted))
        else:
            _log.info("scheduled", schedule=schedule.id)


async def keep_schedules(client: Client, kept: Sequence[WorkflowSchedule], every: float = CHECK_SECONDS) -> None:
    """Create schedules again whenever they were deleted, until canceled.

    Args:
        client: a connected client.
        kept: the schedules.
        every: interval of the check in seconds.
    """
    while True:
        await asyncio.sleep(every)
        for schedule in kept:
            if schedule.every:
                await _keep(client, schedule)


async def _keep(client: Client, schedule: WorkflowSchedule) -> None:
    try:
        with untraced():
            await client.get_schedule_handle(schedule.id).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            return
        _log.warning("the schedule was deleted", schedule=schedule.id)
        try:
            await ensure_schedule(client, schedule)
        except RPCError as failed:
            _log.warning("the schedule is not created yet", schedule=schedule.id, error=failed.message)


def _updated(found: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    before = found.description.schedule
    started = before.action.workflow if isinstance(before.action, ScheduleActionStartWorkflow) else None
    if isinstance(wanted.action, ScheduleActionStartWorkflow) and started != wanted.action.workflow:
        _log.warning("a schedule of another origin is replaced", schedule=found.description.id)
    return ScheduleUpdate(Schedule(action=wanted.action, spec=wanted.spec, policy=wanted.policy, state=before.state))
