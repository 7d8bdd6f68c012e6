"""Maintenance activities: find and compensate orphaned orders, record their end, check which workflow has an id.

The two activities of the sweep run for a bounded time, send their position with each heartbeat, and return it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError
from temporalio import activity

from orderfleet.domain import names
from orderfleet.domain.activities import CheckWorkflowInput, CheckWorkflowResult, IdHolder, StepResult
from orderfleet.domain.base import Contract
from orderfleet.domain.events import AuditEvent, EventKind
from orderfleet.domain.orphans import (
    Compensation,
    Orphan,
    RecordCompensationInput,
    SweepClosedInput,
    SweepResult,
    SweepUnfinishedInput,
    UnfinishedOrder,
)
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.ports import OrderWorkflows, OrphanStore
from orderfleet.domain.status import Step
from orderfleet.observability import metrics
from orderfleet.observability.tracing import exemplar
from orderfleet.temporal.concurrency import limited

_log = structlog.get_logger()
T = TypeVar("T")
R = TypeVar("R")

BUDGET_SECONDS: Final = 10.0
"""An activity of the sweep begins no further page after this time; the workflow schedules the next one."""
MAX_CONCURRENT: Final = 16
"""Describe and start calls in progress at the same time."""
UNFINISHED_PAGE: Final = 200
"""Unfinished orders of one statement."""
MAX_COMPENSATION_IDS: Final = 5
"""Workflow ids that one sweep tries for a compensation."""


@dataclass
class _Sweep:
    """State of one attempt of a sweep activity: its input, its result so far, and when it must stop."""

    policy: OrderPolicy
    source: str
    result: SweepResult
    until: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)
    in_compensation: frozenset[str] | None = None

    @property
    def over(self) -> bool:
        return self.result.done or time.monotonic() >= self.until

    def advance(self, position: str | None, *, read: int, found: int, done: bool) -> None:
        before = self.result
        self.result = SweepResult(position=position, read=before.read + read, found=before.found + found, done=done)
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat with the position that the next attempt continues from."""
        activity.heartbeat(self.result)


class MaintenanceActivities:
    """Activities on the database and Temporal.

    Args:
        store: orphans in the database.
        workflows: order workflows in Temporal.
    """

    def __init__(self, store: OrphanStore, workflows: OrderWorkflows) -> None:
        self._store = store
        self._workflows = workflows

    @activity.defn(name="sweep_closed_workflows")
    async def sweep_closed_workflows(self, step: SweepClosedInput) -> SweepResult:
        """Compensate the orphans among the workflows that closed since a time, page by page."""
        sweep = _Sweep(step.policy, "visibility", _resumed() or SweepResult(position=step.page_token))
        while not sweep.over:
            page = await self._workflows.closed(step.since, sweep.result.position)
            order_ids = [order_id for workflow_id in page.workflow_ids for order_id in _order_ids(workflow_id)]
            orders = await self._store.unfinished(order_ids) if order_ids else []
            found = await self._compensate(orders, sweep)
            sweep.advance(page.next_token, read=len(page.workflow_ids), found=found, done=page.next_token is None)
        return sweep.result

    @activity.defn(name="sweep_unfinished_orders")
    async def sweep_unfinished_orders(self, step: SweepUnfinishedInput) -> SweepResult:
        """Check a batch of unfinished orders against Temporal, in the order of their ids; compensate the orphans."""
        sweep = _Sweep(step.policy, "database", _resumed() or SweepResult(position=step.after))
        while not sweep.over:
            size = min(UNFINISHED_PAGE, step.limit - sweep.result.read)
            page = await self._store.unfinished_page(sweep.result.position or "", size, step.idle)
            found = await self._compensate(page.orders, sweep)
            read = sweep.result.read + size
            sweep.advance(page.last, read=size, found=found, done=page.last is None or read >= step.limit)
        metrics.ORPHAN_SWEEP_COMPLETED.set_to_current_time()
        return sweep.result

    @activity.defn(name="record_compensation")
    async def record_compensation(self, step: RecordCompensationInput) -> StepResult:
        """Record the end of an orphaned order; one round trip."""
        end = Step.SHIPPED if step.shipped else Step.FAILED

        def event(key: str, kind: EventKind, **detail: str) -> AuditEvent:
            return AuditEvent(key=key, kind=kind, step=end, at=step.at, detail=detail)

        events = [
            event(f"workflow-id-conflict/{workflow_id}", EventKind.WORKFLOW_ID_CONFLICT, workflow_id=workflow_id)
            for workflow_id in step.conflicts
        ]
        events.append(event("workflow-closed-externally", EventKind.WORKFLOW_CLOSED_EXTERNALLY, reason=step.reason))
        await self._store.record_compensation(step.order_id, step=end, reason=step.reason, events=events)
        return StepResult(attempt=activity.info().attempt)

    @activity.defn(name="check_workflow")
    async def check_workflow(self, step: CheckWorkflowInput) -> CheckWorkflowResult:
        """Find out whether the workflow that has an id is the order's own."""
        holder = await self._workflows.holder(step.workflow_id, step.workflow_type, step.memo, step.parent_id)
        if holder is IdHolder.FOREIGN:
            self._conflict(step.order_id, step.workflow_id, step.workflow_type)
        return CheckWorkflowResult(attempt=activity.info().attempt, holder=holder)

    async def _compensate(self, orders: Sequence[UnfinishedOrder], sweep: _Sweep) -> int:
        """Start the compensation of each order whose workflow is closed; the number of those started."""
        if not orders:
            return 0
        if sweep.in_compensation is None:
            # Visibility lags, so this only saves calls: Temporal rejects a start under an id in use.
            sweep.in_compensation = await self._workflows.in_compensation()
        orders = [order for order in orders if order.order_id not in sweep.in_compensation]
        how = dict(await _bounded(self._closed, orders, sweep.beat))
        closed = {order_id: closing for order_id, closing in how.items() if closing is not None}
        if not closed:
            return 0
        # The orders are read again after their workflows closed: an order records its end before that, so one that is
        # still unfinished is an orphan.
        orphans = [
            orphan.model_copy(update={"how": closed[orphan.order_id]})
            for orphan in await self._store.orphans(list(closed))
        ]

        async def start(orphan: Orphan) -> bool:
            return await self._start(orphan, sweep.policy)

        started = await _bounded(start, orphans, sweep.beat)
        metrics.ORPHANS_FOUND.labels(source=sweep.source).inc(sum(started))
        return sum(started)

    async def _closed(self, order: UnfinishedOrder) -> tuple[str, str | None]:
        """The order's id, and how its workflow closed; None while it runs, or if Temporal has no such workflow."""
        state = await self._workflows.state(order)
        if not state.found:
            # The order is not compensated: a worker connected to the wrong namespace would find no workflow at all.
            metrics.WORKFLOWS_MISSING.inc()
            _log.error(
                "unfinished order has no workflow in Temporal", order_id=order.order_id, workflow_id=order.workflow_id
            )
        return order.order_id, state.how if state.found and not state.running else None

    async def _start(self, orphan: Orphan, policy: OrderPolicy) -> bool:
        conflicts: list[str] = []
        for number in range(1, MAX_COMPENSATION_IDS + 1):
            workflow_id = names.compensation_workflow_id(orphan.order_id, number)
            compensation = Compensation(orphan=orphan, policy=policy, conflicts=tuple(conflicts))
            if await self._workflows.start_compensation(compensation, workflow_id, activity.info().task_queue):
                return True
            holder = await self._workflows.holder(workflow_id, names.COMPENSATION_WORKFLOW, compensation.memo())
            if holder is not IdHolder.FOREIGN:
                return False
            self._conflict(orphan.order_id, workflow_id, names.COMPENSATION_WORKFLOW)
            conflicts.append(workflow_id)
        return False

    def _conflict(self, order_id: str, workflow_id: str, workflow_type: str) -> None:
        metrics.WORKFLOW_ID_CONFLICTS.labels(workflow_type=workflow_type).inc(exemplar=exemplar())
        _log.warning(
            "a workflow of another origin has the id",
            order_id=order_id,
            workflow_id=workflow_id,
            expected=workflow_type,
        )


def _resumed() -> SweepResult | None:
    """Position of the previous attempt, from its last heartbeat; None without one."""
    details = activity.info().heartbeat_details
    if not details:
        return None
    try:
        return SweepResult.model_validate(details[0].model_dump() if isinstance(details[0], Contract) else details[0])
    except ValidationError:
        return None


def _order_ids(workflow_id: str) -> Iterable[str]:
    """The order id in an order workflow's id; empty for an id of another form."""
    try:
        yield names.order_id_of(workflow_id)
    except ValueError:
        return


async def _bounded(call: Callable[[T], Awaitable[R]], items: Sequence[T], beat: Callable[[], None]) -> list[R]:
    """Call for each item, `MAX_CONCURRENT` at the same time.

    A failure is logged, as a later sweep makes the call again: one order that always fails must not stop the sweep.

    Args:
        call: the call.
        items: its arguments.
        beat: called after each call.

    Returns:
        The results of the calls that did not fail.

    Raises:
        Exception: the first failure, when every call of a first attempt failed.
    """
    results = await asyncio.gather(*map(limited(call, MAX_CONCURRENT, beat), items), return_exceptions=True)
    failed = [error for error in results if isinstance(error, BaseException)]
    for error in failed:
        every = len(failed) == len(results) and activity.info().attempt == 1
        if every or not isinstance(error, Exception):
            raise error
        _log.warning("check of an order failed; a later sweep repeats it", error=str(error))
    return [result for result in results if not isinstance(result, BaseException)]
