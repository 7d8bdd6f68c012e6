"""The Temporal Schedule that starts the orphan sweep, one per queue of the order workers.

An order worker creates it at its start, or updates it to the worker's settings, and creates it again if it was
deleted. It stays paused where an operator paused it.
"""

from __future__ import annotations

import asyncio
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
from orderfleet.domain.orphans import OrphanSweep
from orderfleet.observability.tracing import untraced
from orderfleet.settings import Settings

_log = structlog.get_logger()

IDLE: Final = timedelta(minutes=10)
"""Orders that changed within this time are not checked: their workflow was running then."""
CHECK_SECONDS: Final = 60.0
"""Interval of the check that the schedule exists."""
EXECUTION_TIMEOUT: Final = timedelta(hours=1)
"""Limit of one run, so that a blocked one does not prevent the next."""
CATCH_UP: Final = timedelta(minutes=1)
"""Runs that Temporal missed by more than this, while unavailable, are skipped."""


async def ensure_orphan_sweep(client: Client, settings: Settings, idle: timedelta = IDLE) -> None:
    """Create the schedule, or update it to these settings.

    Args:
        client: a connected client.
        settings: of the worker.
        idle: unfinished orders that changed within this time are not checked against Temporal.

    Raises:
        RPCError: Temporal did not answer.
    """
    wanted, schedule_id = _schedule(settings, idle), names.orphan_sweep_id(settings.orders_task_queue)
    with untraced():
        try:
            await client.create_schedule(schedule_id, wanted)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule_id).update(lambda found: _updated(found, wanted))
        else:
            _log.info("orphan sweep scheduled", schedule=schedule_id)


async def keep_orphan_sweep(client: Client, settings: Settings, every: float = CHECK_SECONDS) -> None:
    """Create the schedule again whenever it was deleted, until canceled.

    Args:
        client: a connected client.
        settings: of the worker.
        every: interval of the check in seconds.
    """
    handle = client.get_schedule_handle(names.orphan_sweep_id(settings.orders_task_queue))
    while True:
        await asyncio.sleep(every)
        try:
            with untraced():
                await handle.describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                continue
            _log.warning("the schedule of the orphan sweep was deleted", schedule=handle.id)
            try:
                await ensure_orphan_sweep(client, settings)
            except RPCError as failed:
                _log.warning("the schedule of the orphan sweep is not created yet", error=failed.message)


def _schedule(settings: Settings, idle: timedelta) -> Schedule:
    sweep = OrphanSweep(policy=settings.order_policy(), batch=settings.orphan_sweep_batch, idle=idle)
    return Schedule(
        action=ScheduleActionStartWorkflow(
            names.ORPHAN_SWEEP_WORKFLOW,
            sweep,
            id=names.orphan_sweep_id(settings.orders_task_queue),
            task_queue=settings.orders_task_queue,
            execution_timeout=EXECUTION_TIMEOUT,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=settings.orphan_sweep_interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )


def _updated(found: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    before = found.description.schedule
    started = before.action.workflow if isinstance(before.action, ScheduleActionStartWorkflow) else None
    if started != names.ORPHAN_SWEEP_WORKFLOW:
        _log.warning("a schedule of another origin is replaced", schedule=found.description.id)
    return ScheduleUpdate(Schedule(action=wanted.action, spec=wanted.spec, policy=wanted.policy, state=before.state))
