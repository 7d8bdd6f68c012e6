"""What a real server does right and the time-skipping one wrong: why the model goes further on a real one (testing.md).

If the time-skipping server of a later version no longer fails here, the model may go further on it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

BOUND = timedelta(seconds=60)


class BlockingActivities:
    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    @activity.defn(name="first")
    async def first(self) -> None:
        self.reached.set()
        await self.opened.wait()

    @activity.defn(name="more")
    async def more(self) -> None:
        pass


@workflow.defn(name="TellsMore")
class SignaledAtEnd:
    """Ends after a local activity, or after one more activity if it was told something meanwhile."""

    def __init__(self) -> None:
        self._told = False

    @workflow.run
    async def run(self) -> bool:
        await workflow.execute_local_activity("first", start_to_close_timeout=BOUND)
        if self._told:
            await workflow.execute_activity("more", start_to_close_timeout=BOUND)
        return self._told

    @workflow.signal
    def tell(self) -> None:
        self._told = True

    @workflow.query
    def told(self) -> bool:
        return self._told


@workflow.defn(name="Waits")
class WaitsForSignal:
    def __init__(self) -> None:
        self._told = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._told)

    @workflow.signal
    def tell(self) -> None:
        self._told = True

    @workflow.query
    def told(self) -> bool:
        return self._told


def worker(client: Client, queue: str, held: BlockingActivities) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[SignaledAtEnd, WaitsForSignal],
        activities=[held.first, held.more],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    )


async def signal_during_last_task(client: Client, queue: str, rounds: int) -> list[WorkflowHistory]:
    """A signal and queries come during the task that ends the workflow; the histories of those that missed it."""
    missed, held = [], BlockingActivities()
    async with worker(client, queue, held):
        for number in range(rounds):
            held.reached.clear()
            held.opened.clear()
            handle = await client.start_workflow(
                "TellsMore", id=f"{queue}-{number}", task_queue=queue, result_type=bool
            )
            await held.reached.wait()
            await handle.signal("tell")
            updates = [asyncio.create_task(handle.query("told")) for _ in range(3)]
            # They wait behind the task; nothing tells that they do.
            await asyncio.wait(updates, timeout=0.3)
            held.opened.set()
            if not await handle.result():
                missed.append(await handle.fetch_history())
            await asyncio.gather(*updates, return_exceptions=True)
    return missed


async def completes_on_second_worker(client: Client, queue: str, timeout: float) -> bool:
    """A worker that has a workflow in its cache goes; whether the next one is given it."""
    async with worker(client, queue, BlockingActivities()):
        handle = await client.start_workflow("Waits", id=f"{queue}-wait", task_queue=queue)
        await handle.query("told")
    async with worker(client, queue, BlockingActivities()):
        await handle.signal("tell")
        done, pending = await asyncio.wait({asyncio.ensure_future(handle.result())}, timeout=timeout)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return bool(done)


@pytest.mark.slow
async def test_an_end_that_a_signal_refuses_is_decided_anew(temporal_client: Client, task_queues: Any) -> None:
    """The time-skipping server misses some: it tells the worker that the end which it refused was taken."""
    assert await signal_during_last_task(temporal_client, task_queues.orders, 5) == []


@pytest.mark.slow
async def test_a_workflow_of_a_worker_that_is_gone_is_given_to_another_by_a_real_server_only(
    temporal_client: Client, task_queues: Any, time_skipping_env: WorkflowEnvironment
) -> None:
    """It never times out a task that no worker took from its sticky queue."""
    assert await completes_on_second_worker(temporal_client, task_queues.orders, 60)
    assert not await completes_on_second_worker(time_skipping_env.client, task_queues.orders, 5)
