"""The shared fixtures: each test gets its own database, task queue or namespace in a real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker


@workflow.defn(sandboxed=False)
class SleepWorkflow:
    @workflow.run
    async def run(self, days: int) -> int:
        await workflow.sleep(timedelta(days=days))
        return days


async def _database_name(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT current_database()")
    finally:
        await connection.close()


async def test_empty_database_belongs_to_the_test(empty_postgres_url):
    assert (await _database_name(empty_postgres_url)).startswith("t_")


async def test_migrated_database_has_the_tables(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    assert "orders" in {row["tablename"] for row in tables}


async def test_time_skips_three_days(time_skipping_env: WorkflowEnvironment, task_queues):
    async with Worker(time_skipping_env.client, task_queue=task_queues.orders, workflows=[SleepWorkflow]):
        run = time_skipping_env.client.execute_workflow(SleepWorkflow.run, 3, id="nap", task_queue=task_queues.orders)
        assert await asyncio.wait_for(run, 90) == 3


async def test_dev_server_runs_workflows(temporal_client: Client, task_queues):
    async with Worker(temporal_client, task_queue=task_queues.orders, workflows=[SleepWorkflow]):
        run = temporal_client.execute_workflow(
            SleepWorkflow.run, 0, id=f"nap-{task_queues.orders}", task_queue=task_queues.orders
        )
        assert await asyncio.wait_for(run, 90) == 0


@pytest.mark.slow
def test_api_server_serves_orders(kubernetes):
    assert kubernetes.kubectl("get", "orders.orderfleet.dev") == ""
    assert "NotFound" in kubernetes.kubectl_fails("get", "configmap", "nothing")
