"""Workers whose workflows can be paused while their activities run, so that several events reach a workflow in one
workflow task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from orderfleet.temporal.worker import WorkerSpec
from support.polling import eventually
from support.workflow_env import WorkflowTestEnv, idle_workflow_test_env


class PausableWorkers:
    """Activities of both queues, and workflows of the queues that are not paused."""

    def __init__(self, env: WorkflowTestEnv, specs: list[WorkerSpec]) -> None:
        self.env = env
        self._specs = {spec.task_queue: spec for spec in specs}
        self._running: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    async def resume(self, queue: str) -> None:
        """Run the workflows of a queue."""
        spec = self._specs[queue]
        worker = Worker(
            self.env.temporal,
            task_queue=queue,
            workflows=spec.workflows,
            activities=spec.activities,
            no_remote_activities=True,
            interceptors=spec.interceptors,
            max_cached_workflows=0,  # so that no workflow task waits for the worker that stopped
        )
        self._running[queue] = worker, asyncio.create_task(worker.run())

    async def pause(self, queue: str) -> None:
        """Stop the workflows of a queue."""
        worker, running = self._running.pop(queue)
        await worker.shutdown()
        await running

    async def close(self) -> None:
        for queue in list(self._running):
            await self.pause(queue)


@asynccontextmanager
async def pausable_workers(
    temporal: Client, *arguments: Any, activities: Client | None = None, **options: Any
) -> AsyncIterator[PausableWorkers]:
    """Run all workers until the context closes.

    Args:
        temporal: client of the workflows' workers.
        arguments: of `idle_workflow_test_env`, as well as `options`.
        activities: client of the activities' workers; None is the same.
    """
    async with AsyncExitStack() as stack:
        env, specs = await stack.enter_async_context(idle_workflow_test_env(temporal, *arguments, **options))
        for spec in specs:
            worker = Worker(
                activities or temporal,
                task_queue=spec.task_queue,
                activities=spec.activities,
                interceptors=spec.interceptors,
            )
            await stack.enter_async_context(worker)
        made = PausableWorkers(env, specs)
        stack.push_async_callback(made.close)
        for spec in specs:
            await made.resume(spec.task_queue)
        yield made


async def has(handle: WorkflowHandle, *kinds: EventType.ValueType) -> None:
    """Wait until the workflow's history has an event of each kind."""

    async def found() -> list[EventType.ValueType]:
        return [event.event_type async for event in handle.fetch_history_events()]

    await eventually(found, lambda events: set(kinds) <= set(events))


async def task_with(handle: WorkflowHandle, *kinds: EventType.ValueType) -> bool:
    """Whether one workflow task has events of all these kinds."""
    together: set[EventType.ValueType] = set()
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            if together >= set(kinds):
                return True
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            together = set()
        else:
            together.add(event.event_type)
    return False
