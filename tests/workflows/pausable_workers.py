"""A fleet whose workflows can be paused while its activities run, so that several events reach a workflow in one
workflow task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

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
from workflows.fleet import Fleet, Provider, TestCarrier, eventually


class PausableFleet:
    """Activities of both queues, and workflows of the queues that are not paused."""

    def __init__(self, fleet: Fleet, specs: list[WorkerSpec]) -> None:
        self.fleet = fleet
        self._specs = {spec.task_queue: spec for spec in specs}
        self._running: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    async def resume(self, queue: str) -> None:
        """Run the workflows of a queue."""
        spec = self._specs[queue]
        worker = Worker(
            self.fleet.temporal,
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
async def pausable_fleet(
    temporal: Client,
    database_url: str,
    orders_queue: str,
    shipping_queue: str,
    *,
    record: Callable[[Database], OrderWrites] = OrderWrites,
    activities: Client | None = None,
) -> AsyncIterator[PausableFleet]:
    """Run everything until the context closes.

    Args:
        temporal: client of the workflows' workers.
        database_url: a migrated database.
        orders_queue: task queue of the order worker.
        shipping_queue: task queue of the shipping worker.
        record: makes the order store.
        activities: client of the activities' workers; None is the same.
    """
    settings = Settings(orders_task_queue=orders_queue, shipping_task_queue=shipping_queue)
    async with Database(database_url, pool_size=5, timeout=timedelta(seconds=2)) as database:
        provider, carrier, store = Provider(), TestCarrier(), record(database)
        specs = [
            orders_worker.worker_spec(
                settings, store, provider, PostgresOrphanStore(database), TemporalOrderWorkflows(temporal)
            ),
            shipping_worker.worker_spec(settings, store, carrier),
        ]
        made = PausableFleet(
            Fleet(
                temporal=temporal,
                client=OrderClient(temporal, task_queue=orders_queue),
                settings=settings,
                reads=OrderReads(database),
                provider=provider,
                carrier=carrier,
                database=database,
            ),
            specs,
        )
        orders, shipping = (
            Worker(
                activities or temporal,
                task_queue=spec.task_queue,
                activities=spec.activities,
                interceptors=spec.interceptors,
            )
            for spec in specs
        )
        async with orders, shipping:
            try:
                for spec in specs:
                    await made.resume(spec.task_queue)
                yield made
            finally:
                await made.close()


async def has(handle: WorkflowHandle, *kinds: EventType.ValueType, count: int = 1) -> None:
    """Wait until the workflow's history has `count` events of each kind."""

    async def found() -> list[EventType.ValueType]:
        return [event.event_type async for event in handle.fetch_history_events()]

    await eventually(found, lambda events: all(events.count(kind) >= count for kind in kinds))


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
