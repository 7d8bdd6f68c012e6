"""Workers on a time-skipping or a real server, a store that fails on demand, and the histories of an order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from orderfleet.domain.status import OrderStatus
from orderfleet.orders.compensation import RefundWorkflow
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.shipping.workflow import ShippingWorkflow
from support.scripted_providers import ScriptedCarrier, ScriptedPayments
from support.unreliable_store import StoreOutage
from support.workflow_env import WorkflowTestEnv, workflow_test_env


class OrderEnvironment:
    """Workers on a real server, with test providers, and a clock that only passes by waiting.

    Args:
        client: of the server.
        database_url: of the order store.
        orders_queue, shipping_queue: that no other environment of this server uses.
    """

    order_hour = timedelta(milliseconds=100)
    """The real time that an hour of an order takes."""
    skips_time = False
    continues_as_new = True

    def __init__(self, client: Client, database_url: str, orders_queue: str, shipping_queue: str) -> None:
        self.client = client
        self.provider, self.carrier, self.outage = ScriptedPayments(), ScriptedCarrier(), StoreOutage()
        self.orders = 0
        self._database_url = database_url
        self._queues = orders_queue, shipping_queue
        self._working = AsyncExitStack()
        self._env: WorkflowTestEnv | None = None

    @property
    def env(self) -> WorkflowTestEnv:
        assert self._env is not None
        return self._env

    def name_order(self) -> str:
        """Return an order id that is new on this server."""
        self.orders += 1
        return f"{self._queues[0]}-{self.orders}"

    async def open(self) -> None:
        """Start both workers, with empty caches."""
        made = workflow_test_env(
            self.client,
            self._database_url,
            *self._queues,
            record=self.outage.order_store,
            provider=self.provider,
            carrier=self.carrier,
        )
        self._env = await self._working.enter_async_context(made)

    async def close(self) -> None:
        """Stop both workers."""
        await self._working.aclose()

    async def pass_time(self, passed: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(passed.total_seconds())

    async def histories(self, status: OrderStatus) -> list[WorkflowHistory]:
        """Return the histories of all runs of the order's workflows."""
        found, run = [], self.env.handle(status.order_id)
        run_id: str | None = status.run_id
        while run_id:
            handle = self.client.get_workflow_handle(run.id, run_id=run_id)
            found.append(await handle.fetch_history())
            run_id = found[-1].events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        for workflow_id in [*(shipment.id for shipment in status.shipments), f"refund-{status.payment.id}"]:
            try:
                found.append(await self.client.get_workflow_handle(workflow_id).fetch_history())
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        return found

    def is_unreliable(self, histories: list[WorkflowHistory]) -> bool:
        """Return whether the server may have misinformed the workers about an order with these histories."""
        return False

    async def replay(self, histories: list[WorkflowHistory]) -> None:
        """Replay the histories; raises if the workflows' code decides differently."""
        replayer = Replayer(
            workflows=[OrderWorkflow, ShippingWorkflow, RefundWorkflow],
            data_converter=pydantic_data_converter,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        for history in histories:
            await replayer.replay_workflow(history)


class TimeSkippingOrderEnvironment(OrderEnvironment):
    """The same on a time-skipping server of its own."""

    order_hour = timedelta(hours=1)
    skips_time = True
    continues_as_new = False
    """This server fails an update that completes as its run continues as new, and its clock stops."""

    def __init__(self, environment: WorkflowEnvironment, database_url: str) -> None:
        super().__init__(environment.client, database_url, "orders-tq", "shipping-tq")

    async def pass_time(self, passed: timedelta) -> None:
        """Skip time; timers on the way fire, and their work takes real time."""
        asked = SleepRequest()
        asked.duration.FromTimedelta(passed)
        service = self.client.service_client.test_service
        await service.unlock_time_skipping_with_sleep(asked, timeout=timedelta(seconds=100))

    def is_unreliable(self, histories: list[WorkflowHistory]) -> bool:
        """This server sometimes mishandles completions that it rejects: see `test_skipping_server`."""
        return any(_completion_was_rejected(history) for history in histories)


def _completion_was_rejected(history: WorkflowHistory) -> bool:
    unhandled_command = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return any(event.workflow_task_failed_event_attributes.cause == unhandled_command for event in history.events)
