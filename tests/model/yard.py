"""A fleet on a clock that skips or on a real server, the store that goes away when it is told to, and the
histories of an order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from fleet import Fleet, Provider, TestCarrier, fleet
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.status import OrderStatus
from orderfleet.orders.compensation import RefundWorkflow
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.store.writes import OrderWrites


class Outage:
    """How many of the next writes to the record fail, after they were made or before."""

    def __init__(self) -> None:
        self.away = 0
        self.answers_lost = 0

    def record(self, database: Any) -> OrderWrites:
        outage = self

        class Record(OrderWrites):
            def __getattribute__(self, name: str) -> Any:
                found = super().__getattribute__(name)
                if name.startswith("_"):
                    return found

                async def call(*args: Any, **options: Any) -> Any:
                    if outage.away:
                        outage.away -= 1
                        raise StoreUnavailable("Postgres is away")
                    answer = await found(*args, **options)
                    if outage.answers_lost:
                        outage.answers_lost -= 1
                        raise StoreUnavailable("Postgres went away before it answered")
                    return answer

                return call

        return Record(database)


class Yard:
    """The workers on a real server, the world around them, and a clock that can only be waited for.

    Args:
        client: of the server.
        database_url: of the record.
        orders_queue, shipping_queue: that no other yard of this server has.
    """

    hour = timedelta(milliseconds=100)
    """What an hour of an order is here."""
    skips = False
    continues_as_new = True

    def __init__(self, client: Client, database_url: str, orders_queue: str, shipping_queue: str) -> None:
        self.client = client
        self.provider, self.carrier, self.outage = Provider(), TestCarrier(), Outage()
        self.orders = 0
        self._database_url = database_url
        self._queues = orders_queue, shipping_queue
        self._working = AsyncExitStack()
        self._fleet: Fleet | None = None

    @property
    def fleet(self) -> Fleet:
        assert self._fleet is not None
        return self._fleet

    def name_order(self) -> str:
        """An order id that is not used yet on this server."""
        self.orders += 1
        return f"{self._queues[0]}-{self.orders}"

    async def open(self) -> None:
        """Start both workers, which know nothing of any workflow."""
        made = fleet(
            self.client,
            self._database_url,
            *self._queues,
            record=self.outage.record,
            provider=self.provider,
            carrier=self.carrier,
        )
        self._fleet = await self._working.enter_async_context(made)

    async def close(self) -> None:
        """Stop both workers, whatever they hold."""
        await self._working.aclose()

    async def pass_time(self, passed: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(passed.total_seconds())

    async def histories(self, status: OrderStatus) -> list[WorkflowHistory]:
        """Every run of the order's workflows."""
        found, run = [], self.fleet.handle(status.order_id)
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

    def misled(self, histories: list[WorkflowHistory]) -> bool:
        """Whether the server told the workers something else than what it did."""
        return False

    async def replay(self, histories: list[WorkflowHistory]) -> None:
        """Run the workflows' code over their histories again; raises where it decides otherwise."""
        replayer = Replayer(
            workflows=[OrderWorkflow, ShippingWorkflow, RefundWorkflow],
            data_converter=pydantic_data_converter,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        for history in histories:
            await replayer.replay_workflow(history)


class SkippingYard(Yard):
    """The same on a server of its own whose clock skips."""

    hour = timedelta(hours=1)
    skips = True
    continues_as_new = False
    """An update that is done as its run continues as new is an internal error to that server, and stops its clock."""

    def __init__(self, environment: WorkflowEnvironment, database_url: str) -> None:
        super().__init__(environment.client, database_url, "orders-tq", "shipping-tq")

    async def pass_time(self, passed: timedelta) -> None:
        """Skip; what falls due meanwhile is done on the way, which takes the time it takes."""
        asked = SleepRequest()
        asked.duration.FromTimedelta(passed)
        service = self.client.service_client.test_service
        await service.unlock_time_skipping_with_sleep(asked, timeout=timedelta(seconds=100))

    def misled(self, histories: list[WorkflowHistory]) -> bool:
        """Ends that this server refuses come out wrong now and then: see `test_skipping_server`."""
        return any(_end_was_refused(history) for history in histories)


def _end_was_refused(history: WorkflowHistory) -> bool:
    refused = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return any(event.workflow_task_failed_event_attributes.cause == refused for event in history.events)
