"""Both workers in one process, on a real or a time-skipping Temporal server, with a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkerConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from orderfleet.domain import names
from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.order import OrderInput
from orderfleet.domain.ports import OrderWorkflows
from orderfleet.domain.status import OrderStatus
from orderfleet.orders import worker as orders_worker
from orderfleet.services.orders import OrderService
from orderfleet.services.refunds import RefundAnswer, RefundService
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping_worker
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from orderfleet.temporal.order_workflows import TemporalOrderWorkflows
from orderfleet.temporal.worker import WorkerSpec, build
from support.factories import order_input, quick_policy
from support.polling import eventually
from support.scripted_providers import ScriptedCarrier, ScriptedPayments


@dataclass
class WorkflowTestEnv:
    """Both workers on a Temporal server, with scripted providers and a real Postgres."""

    temporal: Client
    client: OrderClient
    settings: Settings
    reads: OrderReads
    provider: ScriptedPayments
    carrier: ScriptedCarrier
    database: Database

    def order(self, order_id: str, **changes: Any) -> OrderInput:
        """A small valid order with short waits between attempts."""
        return order_input(order_id, **{"policy": quick_policy(self.settings), **changes})

    async def start(self, order: OrderInput) -> WorkflowHandle[Any, OrderStatus]:
        # Only a handle of the environment's own client lets time skip.
        return await self.temporal.start_workflow(
            names.ORDER_WORKFLOW,
            order,
            id=names.order_workflow_id(order.order_id),
            task_queue=self.settings.orders_task_queue,
            result_type=OrderStatus,
        )

    def handle(self, order_id: str) -> WorkflowHandle[Any, OrderStatus]:
        return self.temporal.get_workflow_handle(names.order_workflow_id(order_id), result_type=OrderStatus)

    async def recorded(self, order_id: str) -> RecordedOrder:
        order = await self.reads.order(order_id)
        assert order is not None, f"{order_id} is not recorded"
        return order

    async def until_recorded(self, order_id: str, reached: Callable[[OrderStatus], bool]) -> OrderStatus:
        """Read the database until the condition holds."""
        order = await eventually(
            lambda: self.reads.order(order_id), lambda order: order is not None and reached(order.status)
        )
        assert order is not None
        return order.status

    async def events(self, order_id: str) -> list[RecordedEvent]:
        return await self.reads.events(order_id)

    async def kinds(self, order_id: str) -> list[str]:
        return [event.kind for event in await self.events(order_id)]

    async def refund(self, order_id: str, amount: str, refund_id: str = "r1") -> RefundAnswer:
        """Refund a part of an order, as a client asks for it."""
        orders = OrderService(self.client, self.reads)
        service = RefundService(self.temporal, orders, self.reads, task_queue=self.settings.orders_task_queue)
        return await service.refund(order_id, refund_id, amount=Decimal(amount))

    async def until(self, order_id: str, reached: Callable[[OrderStatus], bool]) -> OrderStatus:
        """Query the workflow until the condition holds."""
        return await eventually(lambda: self.client.status(order_id), reached)


class _BlockingExecutor(ThreadPoolExecutor):
    """Runs workflow tasks in threads, and blocks the event loop until each is done."""

    def submit(self, fn: Any, /, *args: Any, **options: Any) -> Future[Any]:
        future = super().submit(fn, *args, **options)
        wait([future])
        return future


class _NoDeadlockDetection(SimplePlugin):
    """Keeps the SDK from assuming a deadlock in a workflow task that takes more than two seconds.

    A busy machine can block for two seconds, and a worker that assumes a deadlock may never stop. The SDK measures only
    while its event loop runs.
    """

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        super().__init__("no-deadlock-detection")
        self._executor = executor

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config["workflow_task_executor"] = self._executor
        return config


@asynccontextmanager
async def idle_workflow_test_env(
    temporal: Client,
    database_url: str,
    orders_queue: str,
    shipping_queue: str,
    *,
    record: Callable[[Database], OrderWrites] = OrderWrites,
    faults: str = "",
    unique_reference: bool = False,
    provider: Any = None,
    carrier: Any = None,
    order_workflows: OrderWorkflows | None = None,
) -> AsyncIterator[tuple[WorkflowTestEnv, list[WorkerSpec]]]:
    """Yield an environment, and the specs of its workers, which don't run yet.

    Args:
        temporal: client of the workers.
        database_url: a migrated database.
        orders_queue: task queue of the order worker.
        shipping_queue: task queue of the shipping worker.
        record: makes the order store.
        faults: that the workers inject, as in their setting.
        unique_reference: as the setting.
        provider: of payments; None is a scripted one.
        carrier: None is a scripted one.
        order_workflows: that the orphan sweep asks; None asks the server.
    """
    settings = Settings(
        orders_task_queue=orders_queue,
        shipping_task_queue=shipping_queue,
        drain_timeout=timedelta(seconds=1),
        faults=faults,
        unique_reference=unique_reference,
    )
    async with Database(database_url, pool_size=5, timeout=timedelta(seconds=2)) as database:
        env = WorkflowTestEnv(
            temporal=temporal,
            client=OrderClient(temporal, task_queue=orders_queue),
            settings=settings,
            reads=OrderReads(database),
            provider=provider or ScriptedPayments(),
            carrier=carrier or ScriptedCarrier(),
            database=database,
        )
        store, workflows = record(database), order_workflows or TemporalOrderWorkflows(temporal)
        orphans = PostgresOrphanStore(database)
        yield (
            env,
            [
                orders_worker.worker_spec(
                    settings, store, env.provider, orphans, workflows, PostgresDifferences(database)
                ),
                shipping_worker.worker_spec(settings, store, env.carrier),
            ],
        )


@asynccontextmanager
async def workflow_test_env(
    temporal: Client,
    *arguments: Any,
    runner: Callable[[], WorkflowRunner] = SandboxedWorkflowRunner,
    **options: Any,
) -> AsyncIterator[WorkflowTestEnv]:
    """Run both workers of an environment until the context closes.

    Args:
        temporal: client of the workers.
        arguments: of `idle_workflow_test_env`, as well as `options`.
        runner: makes the runner of workflow code.
    """
    async with AsyncExitStack() as stack:
        env, specs = await stack.enter_async_context(idle_workflow_test_env(temporal, *arguments, **options))
        plugin = _NoDeadlockDetection(stack.enter_context(_BlockingExecutor(thread_name_prefix="workflows")))
        config = temporal.config()
        config["plugins"] = [*config["plugins"], plugin]
        for spec in specs:
            await stack.enter_async_context(build(Client(**config), env.settings, spec, runner()))
        yield env
