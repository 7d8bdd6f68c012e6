"""Orders on versioned workers in real processes, with the ledgers of their providers."""

from __future__ import annotations

from functools import partial
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain import names
from orderfleet.domain.order import OrderInput
from orderfleet.domain.policy import OrderPolicy, StepPolicy
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus, ShipmentStatus, Step
from orderfleet.store.reads import OrderReads
from support.factories import automatic_order
from support.ledgers import Ledgers, order_errors
from support.polling import eventually
from support.role_processes import RoleProcess, RoleProcesses
from upgrades.builds import Deployment, Edit, activities_of, builds_of, gathered

RECORDS_BEFORE_THE_CHARGE = Edit(
    "orders/workflow.py",
    "                await payment.charge(ctx)\n",
    "                if workflow.patched('recorded-before-the-charge'):\n"
    "                    await ctx.record(decided=True)\n"
    "                await payment.charge(ctx)\n",
)
"""A patched change, which running orders take."""


class VersionedOrders:
    """Orders, their workers by build, and the ledgers."""

    def __init__(
        self,
        client: Client,
        deployment: Deployment,
        processes: RoleProcesses,
        reads: OrderReads,
        books: Ledgers,
        queues: Any,
    ) -> None:
        self.temporal = client
        self.reads = reads
        self.deployment = deployment
        self._processes = processes
        self._books = books
        self._queues = queues

    async def work(self, build: str, **environment: str) -> RoleProcess:
        worker = await self._processes.worker("all", ORDERFLEET_WORKER_BUILD_ID=build, **environment)
        await worker.answers("/readyz", 200)
        assert f'version="{build}"' in await worker.answers("/metrics", 200) or not build
        return worker

    async def start(self, prefix: str, count: int, **changes: Any) -> list[str]:
        ids = [f"{self.deployment.name}-{prefix}-{number}" for number in range(count)]
        await gathered(self._start(automatic_order(order_id, self._queues, **changes)) for order_id in ids)
        return ids

    async def _start(self, given: OrderInput) -> None:
        # Without the product's client, which times out on a busy machine.
        queue, workflow_id = self._queues.orders, names.order_workflow_id(given.order_id)
        await self.temporal.start_workflow(names.ORDER_WORKFLOW, given, id=workflow_id, task_queue=queue)

    async def until_ramping(self, build: str) -> list[str]:
        """Start orders one by one until one starts on the build, because a server applies a ramp with a delay."""
        ids: list[str] = []
        while len(ids) < 100:
            last = await self.start(f"probe-{len(ids)}", 1)
            ids += last
            await eventually(partial(self.blocked_or_ended, last), bool, 120)
            if not await self.ended(last) or build in set().union(*(await self.builds(last)).values()):
                return ids
        raise AssertionError(f"none of {len(ids)} orders began on {build!r}")

    async def approve(self, ids: list[str]) -> None:
        await gathered(self._handle(order_id).signal(names.APPROVE) for order_id in ids)

    async def delivered(self, ids: list[str]) -> None:
        for order_id in ids:
            update = CarrierUpdate(shipment_id=names.shipment_id(order_id, 1), status=ShipmentStatus.DELIVERED)
            await self._handle(order_id).signal("carrier_update", update)

    async def end(self, ids: list[str]) -> list[OrderStatus]:
        return await gathered(self._handle(order_id).result() for order_id in ids)

    async def ended(self, ids: list[str]) -> list[str]:
        found = await gathered(self._handle(order_id).describe() for order_id in ids)
        return [order_id for order_id, each in zip(ids, found, strict=True) if each.close_time]

    async def builds(self, ids: list[str]) -> dict[str, set[str]]:
        counted = await gathered(builds_of(self.temporal, names.order_workflow_id(order_id)) for order_id in ids)
        return {order_id: set(each) for order_id, each in zip(ids, counted, strict=True)}

    def policy(self, **steps: StepPolicy) -> OrderPolicy:
        return OrderPolicy(shipping_task_queue=self._queues.shipping, **steps)

    def order_errors(self, statuses: list[OrderStatus]) -> list[str]:
        money, parcels = self._books.money(), self._books.parcels()
        return [each for status in statuses for each in order_errors(status.order_id, status, money, parcels)]

    def _handle(self, order_id: str) -> Any:
        return self.temporal.get_workflow_handle(names.order_workflow_id(order_id), result_type=OrderStatus)

    async def until_at(self, step: Step, ids: list[str]) -> None:
        """Wait until all orders are at a step in the order store."""

        async def steps() -> list[Step | None]:
            found = await gathered(self.reads.order(order_id) for order_id in ids)
            return [each.status.step if each else None for each in found]

        await eventually(steps, lambda found: set(found) == {step}, 120)

    async def until_shipping(self, ids: list[str]) -> None:
        """Wait until the dispatch of each order's shipment is scheduled."""

        async def dispatching() -> list[bool]:
            shipments = [names.shipment_id(order_id, 1) for order_id in ids]
            return ["dispatch_carrier" in each for each in await gathered(map(self._steps, shipments))]

        await eventually(dispatching, all, 120)

    async def _steps(self, workflow_id: str) -> list[str]:
        try:
            return await activities_of(self.temporal, workflow_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return []

    async def shipment(self, order_id: str) -> int:
        """Attempt of the shipment's workflow task; 0 before the shipment exists."""
        try:
            found = await self.temporal.get_workflow_handle(names.shipment_id(order_id, 1)).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return 0
        return found.raw_description.pending_workflow_task.attempt

    async def blocked_or_ended(self, ids: list[str]) -> int:
        """Number of orders that have ended or have a workflow task in a retry."""
        found = await gathered(
            self.temporal.get_workflow_handle(names.order_workflow_id(order_id)).describe() for order_id in ids
        )
        return sum(bool(each.close_time) or each.raw_description.pending_workflow_task.attempt > 1 for each in found)
