"""Order workflows are terminated by one batch, and each order is compensated once. ORDERFLEET_ORPHANS is how many."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import asyncpg
import pytest
from temporalio.api.batch.v1 import BatchOperationTermination
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

from orderfleet.domain import names
from orderfleet.orders.schedules import ensure_schedule, orphan_sweep
from support.polling import eventually
from support.workflow_env import workflow_test_env

ORPHANS = int(os.environ.get("ORDERFLEET_ORPHANS", "500"))
CONCURRENCY = 50
T = TypeVar("T")


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_ten_thousand_orphans_are_each_compensated_once(
    temporal_client: Client, postgres_url: str, task_queues: Any
) -> None:
    name = uuid.uuid4().hex[:8]
    order_ids = [f"lost-{name}-{number:05}" for number in range(ORPHANS)]
    connection = await asyncpg.connect(postgres_url)
    before = time.monotonic()
    runs = await _start(temporal_client, order_ids, task_queues.orders)
    await _insert(connection, runs)
    _print_progress("started and inserted", before)

    before = time.monotonic()
    query = f'WorkflowType = "{names.ORDER_WORKFLOW}" AND TaskQueue = "{task_queues.orders}"'
    await eventually(
        lambda: _count(temporal_client, f'{query} AND ExecutionStatus = "Running"'), lambda count: count == ORPHANS, 300
    )
    await temporal_client.workflow_service.start_batch_operation(
        StartBatchOperationRequest(
            namespace=temporal_client.namespace,
            visibility_query=f'{query} AND ExecutionStatus = "Running"',
            job_id=f"terminate-{name}",
            reason="test",
            termination_operation=BatchOperationTermination(identity="test"),
            max_operations_per_second=2000,
        )
    )
    await eventually(
        lambda: _count(temporal_client, f'{query} AND ExecutionStatus = "Terminated"'),
        lambda count: count == ORPHANS,
        1800,
    )
    _print_progress("terminated", before)
    before = time.monotonic()
    async with workflow_test_env(
        temporal_client, postgres_url, task_queues.orders, task_queues.shipping, runner=UnsandboxedWorkflowRunner
    ) as made:
        settings = made.settings.model_copy(update={"orphan_sweep_interval": timedelta(seconds=30)})
        await ensure_schedule(temporal_client, orphan_sweep(settings))
        schedule = temporal_client.get_schedule_handle(names.orphan_sweep_id(task_queues.orders))

        async def open_orders() -> int:
            return await connection.fetchval("select count(*) from orders where completed_at is null")

        await _until_none(open_orders, before)
        _print_progress("no order open", before)
        await eventually(
            lambda: _count(
                temporal_client,
                f'WorkflowType = "{names.COMPENSATION_WORKFLOW}" AND TaskQueue = "{task_queues.orders}"'
                ' AND ExecutionStatus = "Completed"',
            ),
            lambda count: count == ORPHANS,
            120,
        )
        _print_progress("all compensations completed", before)
        # A sweep that starts now finds no orphan.
        await schedule.trigger()
        await asyncio.sleep(35)
        await schedule.delete()
        started = await _count(
            temporal_client,
            f'WorkflowType = "{names.COMPENSATION_WORKFLOW}" AND TaskQueue = "{task_queues.orders}"',
        )
        sweeps = await _count(
            temporal_client, f'WorkflowType = "{names.ORPHAN_SWEEP_WORKFLOW}" AND TaskQueue = "{task_queues.orders}"'
        )
        print(f"{started} compensations, {sweeps} sweeps")
        assert len(made.provider.voided) == ORPHANS
    ends = await connection.fetch(
        "select step, count(*) as orders, count(distinct order_id) as ids from orders group by step"
    )
    events = await connection.fetchrow(
        "select count(*) as events, count(distinct order_id) as orders from events"
        " where kind = 'workflow_closed_externally'"
    )
    await connection.close()
    assert [tuple(row) for row in ends] == [("failed", ORPHANS, ORPHANS)]
    assert tuple(events) == (ORPHANS, ORPHANS)
    assert started == ORPHANS


async def _start(client: Client, order_ids: list[str], queue: str) -> dict[str, str]:
    async def start(order_id: str) -> tuple[str, str]:
        handle = await client.start_workflow(
            names.ORDER_WORKFLOW, {"order_id": order_id}, id=names.order_workflow_id(order_id), task_queue=queue
        )
        assert handle.first_execution_run_id is not None
        return order_id, handle.first_execution_run_id

    return dict(await _run_bounded(start, order_ids))


async def _run_bounded(call: Callable[[str], Awaitable[T]], given: Iterable[str]) -> list[T]:
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(what: str) -> T:
        async with slots:
            return await call(what)

    return await asyncio.gather(*map(one, given))


async def _insert(connection: Any, runs: dict[str, str]) -> None:
    await connection.execute(
        """
        insert into orders (order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash,
            customer_name, customer_email, items, address, payment_id, amount, currency, step, created_at)
        select id, 'order-' || id, run, run, '', '', '', '', '', '[]',
            '{"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}',
            'pay-' || id, 1998, 'USD', 'manual_review', now()
        from unnest($1::text[], $2::text[]) as given (id, run)
        """,
        list(runs),
        list(runs.values()),
    )


async def _count(client: Client, query: str) -> int:
    return (await client.count_workflows(query)).count


async def _until_none(ask: Callable[[], Awaitable[int]], since: float) -> None:
    """Print the number of open orders every 10 s until it is 0."""
    while left := await ask():
        _print_progress(f"{left} orders open", since)
        await asyncio.sleep(10)


def _print_progress(what: str, since: float) -> None:
    print(f"{time.monotonic() - since:7.1f} s: {what}", flush=True)
