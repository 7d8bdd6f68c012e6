"""What a real server does correctly and the time-skipping one does not, so that the model covers more on a real one
(deploy/docs/testing.md).

If a later version of the time-skipping server passes here, the model can cover more on it.
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
    """Ends after a local activity, or after one more activity if a signal arrived during it."""

    def __init__(self) -> None:
        self._signaled = False

    @workflow.run
    async def run(self) -> bool:
        await workflow.execute_local_activity("first", start_to_close_timeout=BOUND)
        if self._signaled:
            await workflow.execute_activity("more", start_to_close_timeout=BOUND)
        return self._signaled

    @workflow.signal
    def signal(self) -> None:
        self._signaled = True

    @workflow.query
    def signaled(self) -> bool:
        return self._signaled


@workflow.defn(name="Waits")
class WaitsForSignal:
    def __init__(self) -> None:
        self._signaled = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._signaled)

    @workflow.signal
    def signal(self) -> None:
        self._signaled = True

    @workflow.query
    def signaled(self) -> bool:
        return self._signaled


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
    """Send a signal and queries during the last workflow task; return the histories of runs that missed the signal."""
    missed, held = [], BlockingActivities()
    async with worker(client, queue, held):
        for number in range(rounds):
            held.reached.clear()
            held.opened.clear()
            handle = await client.start_workflow(
                "TellsMore", id=f"{queue}-{number}", task_queue=queue, result_type=bool
            )
            await held.reached.wait()
            await handle.signal("signal")
            queries = [asyncio.create_task(handle.query("signaled")) for _ in range(3)]
            # The queries wait behind the task, and nothing reports that they do.
            await asyncio.wait(queries, timeout=0.3)
            held.opened.set()
            if not await handle.result():
                missed.append(await handle.fetch_history())
            await asyncio.gather(*queries, return_exceptions=True)
    return missed


async def completes_on_second_worker(client: Client, queue: str, seconds: float) -> bool:
    """Stop a worker that has a workflow in its cache; return whether a second worker completes the workflow."""
    async with worker(client, queue, BlockingActivities()):
        handle = await client.start_workflow("Waits", id=f"{queue}-wait", task_queue=queue)
        await handle.query("signaled")
    async with worker(client, queue, BlockingActivities()):
        await handle.signal("signal")
        done, pending = await asyncio.wait({asyncio.ensure_future(handle.result())}, timeout=seconds)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return bool(done)


@pytest.mark.slow
async def test_completion_rejected_for_a_signal_is_decided_again(temporal_client: Client, task_queues: Any) -> None:
    """The time-skipping server misses some signals: it reports a completion as accepted that it rejected."""
    assert await signal_during_last_task(temporal_client, task_queues.orders, 5) == []


@pytest.mark.slow
async def test_workflow_of_a_stopped_worker_continues_on_a_real_server_only(
    temporal_client: Client, task_queues: Any, time_skipping_env: WorkflowEnvironment
) -> None:
    """The time-skipping server never times out a task on the sticky queue of a stopped worker."""
    assert await completes_on_second_worker(temporal_client, task_queues.orders, 60)
    assert not await completes_on_second_worker(time_skipping_env.client, task_queues.orders, 5)
