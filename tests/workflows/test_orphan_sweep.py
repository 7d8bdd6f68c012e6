"""The orphan sweep on a real server: the orders that it compensates, those that it does not, and its failures."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowHandle,
)
from temporalio.service import RPCError

from orderfleet.domain import names
from orderfleet.domain.orphans import ClosedPage, OrphanSweep, SweepProgress
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.observability.metrics import ORPHAN_SWEEP_COMPLETED
from orderfleet.orders.orphan_sweep import FIRST_LOOK_BACK, OVERLAP
from orderfleet.orders.schedules import ensure_schedule, keep_schedules, orphan_sweep
from orderfleet.settings import Settings
from orderfleet.temporal.order_workflows import TemporalCallFailed, TemporalOrderWorkflows
from support.metric_samples import metric_changes
from support.polling import eventually
from support.workflow_env import WorkflowTestEnv, workflow_test_env

NEVER = timedelta(days=1)
UNSERVED = "a-queue-without-workers"


class Observed(TemporalOrderWorkflows):
    """Temporal with small pages; visibility can be emptied, and the second page can fail once."""

    def __init__(self, temporal: Client) -> None:
        super().__init__(temporal, page=3)
        self.tokens: list[str | None] = []
        self.since: list[datetime] = []
        self.lags = False
        self.fails_at: int | None = None
        self.started: list[str] = []

    async def closed(self, since: datetime, page_token: str | None = None) -> ClosedPage:
        self.tokens.append(page_token)
        if since not in self.since:
            self.since.append(since)
        if self.lags:
            return ClosedPage((), None)
        if self.fails_at == len(self.tokens):
            raise TemporalCallFailed("the connection is lost")
        return await super().closed(since, page_token)

    async def start_compensation(self, compensation: Any, workflow_id: str, task_queue: str) -> bool:
        self.started.append(workflow_id)
        return await super().start_compensation(compensation, workflow_id, task_queue)


@pytest.fixture
async def order_workflows(temporal_client: Client) -> Observed:
    return Observed(temporal_client)


@pytest.fixture
async def sweeping_env(
    temporal_client: Client, postgres_url: str, task_queues: Any, order_workflows: Observed
) -> AsyncIterator[WorkflowTestEnv]:
    """Both workers, with a sweep that reads small pages."""
    async with workflow_test_env(
        temporal_client, postgres_url, task_queues.orders, task_queues.shipping, order_workflows=order_workflows
    ) as made:
        yield made


@pytest.fixture
def order_id() -> str:
    return f"s-{uuid.uuid4().hex[:8]}"


async def _in_review(made: WorkflowTestEnv, order_id: str) -> WorkflowHandle[Any, OrderStatus]:
    handle = await made.start(made.order(order_id))
    await made.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    return handle


async def _sweep(made: WorkflowTestEnv, **changes: Any) -> SweepProgress:
    given = {"policy": made.order("any").policy, "idle": timedelta(0), **changes}
    return await made.temporal.execute_workflow(
        names.ORPHAN_SWEEP_WORKFLOW,
        OrphanSweep(**given),
        id=f"sweep-{uuid.uuid4()}",
        task_queue=made.settings.orders_task_queue,
        result_type=SweepProgress,
    )


async def _until_terminated(made: WorkflowTestEnv, order_id: str) -> None:
    """Wait until visibility has the workflow as terminated."""
    query = f'WorkflowId = "{names.order_workflow_id(order_id)}" AND ExecutionStatus = "Terminated"'
    await eventually(lambda: made.temporal.count_workflows(query), lambda counted: counted.count == 1)


@pytest.mark.slow
async def test_orphans_on_more_than_one_page_are_all_compensated_once(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed, order_id: str
) -> None:
    orders = [f"{order_id}-{number}" for number in range(8)]
    handles = await asyncio.gather(*(_in_review(sweeping_env, order) for order in orders))
    await asyncio.gather(*(handle.terminate() for handle in handles))
    await asyncio.gather(*(_until_terminated(sweeping_env, order) for order in orders))
    with metric_changes() as samples:
        swept_once = await _sweep(sweeping_env, idle=NEVER)
        assert swept_once.found == len(orders)
        await asyncio.gather(*(sweeping_env.until_recorded(order, lambda status: status.ended) for order in orders))
        assert (await _sweep(sweeping_env, idle=NEVER)).found == 0
    assert sorted(order_workflows.started) == sorted(map(names.compensation_workflow_id, orders))
    assert samples("orderfleet_orphans_found_total", source="visibility") == len(orders)


async def test_an_orphan_that_visibility_does_not_show_is_found_in_the_database(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed, order_id: str
) -> None:
    order_workflows.lags = True
    lost, waiting = f"{order_id}-lost", f"{order_id}-waiting"
    await (await _in_review(sweeping_env, lost)).terminate()
    await _in_review(sweeping_env, waiting)
    assert (await _sweep(sweeping_env)).found == 1
    status = await sweeping_env.until_recorded(lost, lambda status: status.ended)
    assert status.last_error is not None
    assert "terminated" in status.last_error
    assert (await sweeping_env.recorded(waiting)).status.completed_at is None


@pytest.mark.slow
async def test_the_check_of_unfinished_orders_continues_where_the_run_before_ended(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed, order_id: str
) -> None:
    order_workflows.lags = True
    waiting, *orders = (f"{order_id}-{number}" for number in range(4))
    # Stays the first unfinished order, so a run that begins at the first checks no other.
    await _in_review(sweeping_env, waiting)
    for order in orders:
        await (await _in_review(sweeping_env, order)).terminate()
    await ensure_schedule(
        sweeping_env.temporal, orphan_sweep(_often(sweeping_env, orphan_sweep_batch=1), idle=timedelta(0))
    )
    try:
        for order in orders:
            await sweeping_env.until_recorded(order, lambda status: status.ended)
    finally:
        await _schedule(sweeping_env).delete()
    assert sorted(order_workflows.started) == [names.compensation_workflow_id(order) for order in orders]


@pytest.mark.slow
async def test_a_run_looks_back_from_the_start_of_the_run_before_by_the_lag_of_visibility(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed
) -> None:
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env)))
    try:

        async def since() -> list[datetime]:
            return order_workflows.since

        first, second, *_ = await eventually(since, lambda found: len(found) > 1)
    finally:
        await _schedule(sweeping_env).delete()
    assert timedelta(hours=1) < OVERLAP
    # Both count from the start of the first run.
    assert second - first == FIRST_LOOK_BACK - OVERLAP


@pytest.mark.slow
async def test_an_order_of_a_workflow_with_another_id_is_left_alone_while_that_runs(
    sweeping_env: WorkflowTestEnv, order_id: str
) -> None:
    """A closed workflow has the order's usual id, and is not that of the order."""
    usual = names.order_workflow_id(order_id)
    namesake = await sweeping_env.temporal.start_workflow(
        names.ORDER_WORKFLOW, "unreadable", id=usual, task_queue=UNSERVED
    )
    other = await sweeping_env.temporal.start_workflow(
        names.ORDER_WORKFLOW,
        sweeping_env.order(order_id),
        id=f"mine-{order_id}",
        task_queue=UNSERVED,
    )
    await _insert(sweeping_env, order_id, f"mine-{order_id}", other.first_execution_run_id)
    await namesake.terminate()
    await _until_terminated(sweeping_env, order_id)
    assert (await _sweep(sweeping_env)).found == 0
    assert (await sweeping_env.recorded(order_id)).status.completed_at is None
    await other.terminate()
    assert (await _sweep(sweeping_env)).found == 1
    await sweeping_env.until_recorded(order_id, lambda status: status.ended)


@pytest.mark.slow
async def test_an_order_of_another_run_is_left_alone_while_that_runs(
    sweeping_env: WorkflowTestEnv, order_id: str
) -> None:
    workflow_id = names.order_workflow_id(order_id)

    async def start() -> WorkflowHandle[Any, Any]:
        return await sweeping_env.temporal.start_workflow(
            names.ORDER_WORKFLOW, sweeping_env.order(order_id), id=workflow_id, task_queue=UNSERVED
        )

    earlier = await start()
    await earlier.terminate()
    await _until_terminated(sweeping_env, order_id)
    owner = await start()
    await _insert(sweeping_env, order_id, workflow_id, owner.first_execution_run_id)
    assert (await _sweep(sweeping_env)).found == 0
    await owner.terminate()
    # A third run of the id does not hide that the order's own is closed.
    third = await start()
    assert (await _sweep(sweeping_env)).found == 1
    await sweeping_env.until_recorded(order_id, lambda status: status.ended)
    await third.terminate()


async def test_an_order_without_any_workflow_is_counted_and_left_as_it_is(
    sweeping_env: WorkflowTestEnv, order_id: str
) -> None:
    await _insert(sweeping_env, order_id, names.order_workflow_id(order_id), str(uuid.uuid4()))
    with metric_changes() as samples:
        assert (await _sweep(sweeping_env)).found == 0
    assert samples("orderfleet_order_workflows_missing_total") == 1
    assert (await sweeping_env.recorded(order_id)).status.completed_at is None


@pytest.mark.slow
async def test_a_sweep_whose_activity_fails_halfway_continues_from_its_last_page(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed, order_id: str
) -> None:
    orders = [f"{order_id}-{number}" for number in range(7)]
    handles = await asyncio.gather(*(_in_review(sweeping_env, order) for order in orders))
    await asyncio.gather(*(handle.terminate() for handle in handles))
    await asyncio.gather(*(_until_terminated(sweeping_env, order) for order in orders))
    order_workflows.fails_at = 3
    assert (await _sweep(sweeping_env, idle=NEVER)).found == 7
    assert order_workflows.tokens.count(None) == 1, "the first page is not read again"
    assert order_workflows.tokens[2] == order_workflows.tokens[3]
    assert len(order_workflows.started) == 7


@pytest.mark.slow
async def test_a_sweep_that_is_terminated_is_followed_by_the_next(
    sweeping_env: WorkflowTestEnv, order_workflows: Observed, order_id: str
) -> None:
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env), idle=timedelta(0)))
    try:
        reached = asyncio.Event()
        closed = order_workflows.closed

        async def hang(*_: Any) -> ClosedPage:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        order_workflows.closed = hang  # type: ignore[method-assign]
        await reached.wait()
        handle = await _in_review(sweeping_env, order_id)
        await handle.terminate()
        order_workflows.closed = closed  # type: ignore[method-assign]
        described = await eventually(
            lambda: _schedule(sweeping_env).describe(), lambda found: bool(found.info.running_actions)
        )
        running = described.info.running_actions[0]
        await sweeping_env.temporal.get_workflow_handle(running.workflow_id).terminate()
        await sweeping_env.until_recorded(order_id, lambda status: status.ended)
    finally:
        await _schedule(sweeping_env).delete()


@pytest.mark.slow
async def test_a_compensation_id_of_another_origin_is_replaced_by_a_numbered_one(
    sweeping_env: WorkflowTestEnv, order_id: str
) -> None:
    handle = await _in_review(sweeping_env, order_id)
    foreign = await sweeping_env.temporal.start_workflow(
        names.COMPENSATION_WORKFLOW,
        id=names.compensation_workflow_id(order_id),
        task_queue=UNSERVED,
    )
    await handle.terminate()
    with metric_changes() as samples:
        # Orders that earlier tests left in the database are found too.
        assert (await _sweep(sweeping_env)).found >= 1
        await sweeping_env.until_recorded(order_id, lambda status: status.ended)
        assert (await _sweep(sweeping_env)).found == 0
    assert samples("orderfleet_workflow_id_conflicts_total", workflow_type="CompensationWorkflow") == 1
    (conflict,) = [event for event in await sweeping_env.events(order_id) if event.kind == "workflow_id_conflict"]
    assert conflict.detail == {"workflow_id": foreign.id}
    await foreign.terminate()


async def test_two_order_workers_that_start_at_once_create_one_schedule(sweeping_env: WorkflowTestEnv) -> None:
    await asyncio.gather(
        *(ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env))) for _ in range(5))
    )
    try:
        found = [
            schedule.id
            async for schedule in await sweeping_env.temporal.list_schedules()
            if schedule.id == _schedule(sweeping_env).id
        ]
        # Its listing lags; a second one under the same id can't be.
        assert len(found) <= 1
        assert (await _schedule(sweeping_env).describe()).schedule.spec.intervals[0].every == timedelta(seconds=1)
    finally:
        await _schedule(sweeping_env).delete()


async def test_settings_of_a_worker_that_starts_replace_those_of_the_schedule(sweeping_env: WorkflowTestEnv) -> None:
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env)))
    try:
        await _schedule(sweeping_env).pause(note="maintenance")
        settings = _often(
            sweeping_env,
            orphan_sweep_interval=timedelta(seconds=7),
            orphan_sweep_batch=77,
            charge_timeout=timedelta(seconds=9),
        )
        await ensure_schedule(sweeping_env.temporal, orphan_sweep(settings))
        schedule = (await _schedule(sweeping_env).describe()).schedule
        assert isinstance(schedule.action, ScheduleActionStartWorkflow)
        (payload,) = schedule.action.args
        sweep = (await sweeping_env.temporal.data_converter.decode([payload], [OrphanSweep]))[0]
        assert (sweep.batch, sweep.policy.charge.attempt_timeout) == (77, timedelta(seconds=9))
        assert schedule.spec.intervals[0].every == timedelta(seconds=7)
        assert schedule.state.paused, "an operator's pause stays"
    finally:
        await _schedule(sweeping_env).delete()


async def test_a_schedule_that_is_deleted_is_created_again(sweeping_env: WorkflowTestEnv) -> None:
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env)))
    keeping = asyncio.create_task(
        keep_schedules(sweeping_env.temporal, [orphan_sweep(_often(sweeping_env))], every=0.1)
    )
    try:
        await _schedule(sweeping_env).delete()
        await eventually(lambda: _exists(sweeping_env), bool)
    finally:
        keeping.cancel()
        await _schedule(sweeping_env).delete()


async def test_a_schedule_without_an_interval_is_deleted(sweeping_env: WorkflowTestEnv) -> None:
    never = replace(orphan_sweep(_often(sweeping_env)), every=timedelta(0))
    await ensure_schedule(sweeping_env.temporal, never)
    assert not await _exists(sweeping_env)
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env)))
    await ensure_schedule(sweeping_env.temporal, never)
    assert not await _exists(sweeping_env)


async def test_a_schedule_of_another_origin_is_replaced(sweeping_env: WorkflowTestEnv, order_id: str) -> None:
    await sweeping_env.temporal.create_schedule(
        _schedule(sweeping_env).id,
        Schedule(
            action=ScheduleActionStartWorkflow("Another", id="another", task_queue="another"),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=9))]),
        ),
    )
    await ensure_schedule(sweeping_env.temporal, orphan_sweep(_often(sweeping_env), idle=timedelta(0)))
    try:
        await (await _in_review(sweeping_env, order_id)).terminate()
        await sweeping_env.until_recorded(order_id, lambda status: status.ended)
    finally:
        await _schedule(sweeping_env).delete()


async def test_a_sweep_that_completes_says_when(sweeping_env: WorkflowTestEnv) -> None:
    ORPHAN_SWEEP_COMPLETED.set(0)
    before = time.time()
    await _sweep(sweeping_env)
    (value,) = [sample.value for metric in ORPHAN_SWEEP_COMPLETED.collect() for sample in metric.samples]
    assert value >= before


def _often(made: WorkflowTestEnv, **changes: Any) -> Settings:
    return made.settings.model_copy(update={"orphan_sweep_interval": timedelta(seconds=1), **changes})


def _schedule(made: WorkflowTestEnv) -> Any:
    return made.temporal.get_schedule_handle(names.orphan_sweep_id(made.settings.orders_task_queue))


async def _exists(made: WorkflowTestEnv) -> bool:
    try:
        await _schedule(made).describe()
    except RPCError:
        return False
    return True


async def _insert(made: WorkflowTestEnv, order_id: str, workflow_id: str, first_run_id: str | None) -> None:
    """An order in review in the database, of the workflow that is named."""
    await made.database.fetch(
        """
        insert into orders (order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash,
            customer_name, customer_email, items, address, payment_id, amount, currency, step, created_at)
        values ($1, $2, $3, $3, '', '', '', '', '', '[]',
            '{"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}',
            'pay-' || $1, 1998, 'USD', 'manual_review', now())
        """,
        order_id,
        workflow_id,
        first_run_id,
    )
