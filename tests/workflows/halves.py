"""A fleet whose workflows can be held up while its activities go on, so that what comes meanwhile
reaches a workflow in one and the same workflow task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from fleet import Fleet, Provider, TestCarrier, eventually
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from orderfleet.orders import worker as orders_worker
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping_worker
from orderfleet.store.orphans import PostgresOrphanStore
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from orderfleet.temporal.order_workflows import TemporalOrderWorkflows
from orderfleet.temporal.worker import WorkerSpec


class Halves:
    """Both queues' activities at work, and their workflows as long as they are not held up."""

    def __init__(self, fleet: Fleet, duties: list[WorkerSpec]) -> None:
        self.fleet = fleet
        self._duties = {duty.task_queue: duty for duty in duties}
        self._deciding: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    async def go_on(self, queue: str) -> None:
        """Run the workflows of a queue."""
        duty = self._duties[queue]
        worker = Worker(
            self.fleet.temporal,
            task_queue=queue,
            workflows=duty.workflows,
            activities=duty.activities,
            no_remote_activities=True,
            interceptors=duty.interceptors,
            max_cached_workflows=0,  # nobody waits for the worker that had a workflow before
        )
        self._deciding[queue] = worker, asyncio.create_task(worker.run())

    async def hold_up(self, queue: str) -> None:
        """Run the workflows of a queue no further."""
        worker, running = self._deciding.pop(queue)
        await worker.shutdown()
        await running

    async def close(self) -> None:
        for queue in list(self._deciding):
            await self.hold_up(queue)


@asynccontextmanager
async def halves(
    temporal: Client,
    database_url: str,
    orders_queue: str,
    shipping_queue: str,
    *,
    record: Callable[[Database], OrderWrites] = OrderWrites,
    activities: Client | None = None,
) -> AsyncIterator[Halves]:
    """Run everything until the context closes; `activities` is the client of those who do them, if another."""
    settings = Settings(orders_task_queue=orders_queue, shipping_task_queue=shipping_queue)
    async with Database(database_url, pool_size=5, timeout=timedelta(seconds=2)) as database:
        provider, carrier, told = Provider(), TestCarrier(), record(database)
        duties = [
            orders_worker.worker_spec(
                settings, told, provider, PostgresOrphanStore(database), TemporalOrderWorkflows(temporal)
            ),
            shipping_worker.worker_spec(settings, told, carrier),
        ]
        made = Halves(
            Fleet(
                temporal=temporal,
                client=OrderClient(temporal, task_queue=orders_queue),
                settings=settings,
                reads=OrderReads(database),
                provider=provider,
                carrier=carrier,
                database=database,
            ),
            duties,
        )
        orders, shipping = (
            Worker(
                activities or temporal,
                task_queue=duty.task_queue,
                activities=duty.activities,
                interceptors=duty.interceptors,
            )
            for duty in duties
        )
        async with orders, shipping:
            try:
                for duty in duties:
                    await made.go_on(duty.task_queue)
                yield made
            finally:
                await made.close()


async def has(handle: WorkflowHandle, *kinds: EventType.ValueType, count: int = 1) -> None:
    """Wait until the workflow's history has so many events of each kind."""

    async def found() -> list[EventType.ValueType]:
        return [event.event_type async for event in handle.fetch_history_events()]

    await eventually(found, lambda events: all(events.count(kind) >= count for kind in kinds))


async def task_with(handle: WorkflowHandle, *kinds: EventType.ValueType) -> bool:
    """Whether one workflow task brought events of all these kinds."""
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
