"""A fleet on a clock that skips, the store that goes away when it is told to, and the histories of an order."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from fleet import Fleet, Provider, TestCarrier, fleet
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.contracts.status import OrderStatus
from orderfleet.orders.refund import RefundWorkflow
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.store import OrderRecord


class Outage:
    """How many of the next writes to the record fail, after they were made or before."""

    def __init__(self) -> None:
        self.away = 0
        self.answers_lost = 0

    def record(self, database: Any) -> OrderRecord:
        outage = self

        class Record(OrderRecord):
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
    """The workers, the world around them, and the server's clock."""

    def __init__(self, environment: WorkflowEnvironment, database_url: str) -> None:
        self.environment = environment
        self.provider, self.carrier, self.outage = Provider(), TestCarrier(), Outage()
        self.orders = 0
        self._database_url = database_url
        self._working = AsyncExitStack()
        self._fleet: Fleet | None = None

    @property
    def fleet(self) -> Fleet:
        assert self._fleet is not None
        return self._fleet

    async def open(self) -> None:
        """Start both workers."""
        made = fleet(
            self.environment.client,
            self._database_url,
            "orders-tq",
            "shipping-tq",
            record=self.outage.record,
            provider=self.provider,
            carrier=self.carrier,
        )
        self._fleet = await self._working.enter_async_context(made)

    async def close(self) -> None:
        """Stop both workers, whatever they hold."""
        await self._working.aclose()

    async def pass_time(self, passed: timedelta) -> None:
        """Skip; what falls due meanwhile is done on the way, which takes the time it takes."""
        service = self.environment.client.service_client.test_service
        asked = SleepRequest()
        asked.duration.FromTimedelta(passed)
        await service.unlock_time_skipping_with_sleep(asked, timeout=timedelta(seconds=100))

    async def histories(self, status: OrderStatus) -> list[WorkflowHistory]:
        """Every run of the order's workflows."""
        found, run = [], self.fleet.handle(status.order_id)
        run_id: str | None = status.run_id
        while run_id:
            handle = self.environment.client.get_workflow_handle(run.id, run_id=run_id)
            found.append(await handle.fetch_history())
            run_id = found[-1].events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        for workflow_id in [*(shipment.id for shipment in status.shipments), f"refund-{status.payment.id}"]:
            try:
                found.append(await self.environment.client.get_workflow_handle(workflow_id).fetch_history())
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        return found

    async def replay(self, histories: list[WorkflowHistory]) -> None:
        """Run the workflows' code over their histories again; raises where it decides otherwise."""
        replayer = Replayer(
            workflows=[OrderWorkflow, ShippingWorkflow, RefundWorkflow],
            data_converter=pydantic_data_converter,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        for history in histories:
            await replayer.replay_workflow(history)
