"""Two really different builds of the workers side by side, under load: real processes, a real Temporal."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from builds import Deployment, Edit, activities_of, builds_of, changed, gathered
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from books import Books, wrong
from orderfleet.client import OrderClient
from orderfleet.contracts import names
from orderfleet.contracts.order import Review
from orderfleet.contracts.policy import OrderPolicy, StepPolicy
from orderfleet.contracts.status import OrderStatus, Step
from worker_processes import WorkerFleet, WorkerProcess, order, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TELLS_BEFORE_THE_CHARGE = Edit(
    "orders/workflow.py",
    "            await payment.charge(ctx)\n",
    "            if workflow.patched('told-before-the-charge'):\n"
    "                await ctx.record(decided=True)\n"
    "            await payment.charge(ctx)\n",
)
"""A patched change: orders take it wherever they are."""
PREPARES_TWICE = Edit(
    "shipping/workflow.py",
    "            await self._prepare(given)\n            if self._cancel",
    "            await self._prepare(given)\n            await self._prepare(given)\n            if self._cancel",
)
"""A change without a patch: shipments are pinned."""
FAILS = Edit(
    "orders/workflow.py",
    "        ctx = self._ctx\n        if ctx.order.deadline",
    "        ctx = self._ctx\n        raise RuntimeError('a bad version')\n        if ctx.order.deadline",
)
SLOWLY = StepPolicy(attempt_timeout="5s", initial_interval="20s", maximum_interval="20s")
ORDERS = 60
RAMP = 25


class Shop:
    """Orders, their workers by build, and the books."""

    def __init__(self, client: Client, deployment: Deployment, fleet: WorkerFleet, books: Books, queues: Any) -> None:
        self.temporal = client
        self.client = OrderClient(client, task_queue=queues.orders)
        self.deployment = deployment
        self._fleet = fleet
        self._books = books
        self._queues = queues

    async def work(self, build: str, **environment: str) -> WorkerProcess:
        worker = await self._fleet.worker("all", ORDERFLEET_WORKER_BUILD_ID=build, **environment)
        await worker.answers("/readyz", 200)
        return worker

    async def start(self, prefix: str, count: int, **changes: Any) -> list[str]:
        ids = [f"{self.deployment.name}-{prefix}-{number}" for number in range(count)]
        await gathered(self.client.start(order(order_id, self._queues, **changes)) for order_id in ids)
        return ids

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

    def wrong(self, statuses: list[OrderStatus]) -> list[str]:
        money, parcels = self._books.money(), self._books.parcels()
        return [each for status in statuses for each in wrong(status.order_id, status, money, parcels)]

    def _handle(self, order_id: str) -> Any:
        return self.temporal.get_workflow_handle(names.order_workflow_id(order_id), result_type=OrderStatus)


@pytest.fixture
async def shop(versioned_temporal: str, postgres_url: str, task_queues: Any, tmp_path: Path) -> AsyncIterator[Shop]:
    """Its first build, which is this checkout, is current."""
    ledger, name = tmp_path / "ledger.db", task_queues.orders
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": versioned_temporal,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_DRAIN_TIMEOUT": "10s",
        "ORDERFLEET_WORKER_DEPLOYMENT": name,
    }
    client = await Client.connect(versioned_temporal, data_converter=pydantic_data_converter)
    async with AsyncExitStack() as stack:
        fleet = WorkerFleet(stack, environment, tmp_path)
        yield Shop(client, Deployment(name, versioned_temporal), fleet, Books(ledger), task_queues)


async def test_new_orders_ramp_to_the_new_build_and_the_old_one_drains(shop: Shop, tmp_path: Path) -> None:
    old = await shop.work("one", ORDERFLEET_FAULTS="dispatch_carrier:error=1.0,attempts=1")
    await shop.deployment.promote("one")
    waiting = await shop.start("waiting", 4, review=Review())
    await shop.work("two", PYTHONPATH=changed(tmp_path / "two", TELLS_BEFORE_THE_CHARGE, PREPARES_TWICE))
    await shop.deployment.ramp("two", RAMP)

    ramped = await shop.start("ramped", ORDERS)
    statuses = await shop.end(ramped)
    builds = await shop.builds(ramped)
    assert set().union(*builds.values()) == {"one", "two"}
    assert 0 < sum(found == {"two"} for found in builds.values()) < ORDERS / 2

    # Their first dispatch on the first build fails, and is tried again once the second one is current.
    last = await shop.start("last", 12, policy=shop.policy(dispatch_carrier=SLOWLY))
    await until(lambda: _shipping(shop, last), lambda begun: begun == len(last), 120)
    await shop.deployment.promote("two")
    assert set(last) - set(await shop.ended(last))
    for order_id in waiting:
        await shop.client.approve(order_id)
    fresh = await shop.start("fresh", 8)
    statuses += await shop.end([*last, *waiting, *fresh])

    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert shop.wrong(statuses) == []
    # Orders go with the version: those that waited since the first build take the patch with the second.
    assert {frozenset(each) for each in (await shop.builds(fresh)).values()} == {frozenset({"two"})}
    assert {order_id for order_id, each in (await shop.builds(waiting)).items() if "two" in each} == set(waiting)
    for order_id in (*waiting, *fresh):
        assert (await activities_of(shop.temporal, names.order_workflow_id(order_id)))[:2] == ["record", "charge"]
    # Shipments are pinned: each ended on the build that it began with.
    shipments = [names.shipment_id(order_id, 1) for order_id in (*ramped, *last, *waiting, *fresh)]
    for shipment in shipments:
        build = await builds_of(shop.temporal, shipment)
        prepared = (await activities_of(shop.temporal, shipment)).count("prepare_package")
        assert (set(build), prepared) in (({"one"}, 1), ({"two"}, 2)), shipment

    await shop.deployment.drained("one")
    old.process.send_signal(signal.SIGTERM)
    assert await old.ends() == 0
    after = await shop.end(await shop.start("after", 4))
    assert {status.step for status in after} == {Step.SHIPPED}
    assert shop.wrong(after) == []


async def test_a_bad_build_is_rolled_back_with_its_share_and_no_order_is_lost(shop: Shop, tmp_path: Path) -> None:
    await shop.work("good")
    await shop.deployment.promote("good")
    bad = await shop.work("bad", PYTHONPATH=changed(tmp_path / "bad", FAILS))
    await shop.deployment.ramp("bad", RAMP)

    ids = await shop.start("ramped", ORDERS)
    await until(lambda: _stuck_or_ended(shop, ids), lambda found: found == ORDERS, 180)
    assert ORDERS / 2 < len(await shop.ended(ids)) < ORDERS
    await shop.deployment.roll_back("bad")
    bad.process.send_signal(signal.SIGTERM)
    assert await bad.ends() == 0

    statuses = await shop.end(ids)
    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert shop.wrong(statuses) == []
    assert set().union(*(await shop.builds(ids)).values()) == {"good"}


async def test_orders_of_workers_without_a_version_go_on_with_the_first_that_has_one(shop: Shop) -> None:
    before = await shop.work("", ORDERFLEET_WORKER_DEPLOYMENT="")
    waiting = await shop.start("waiting", 2, review=Review())
    await until(lambda: _reviewing(shop, waiting), lambda found: found == len(waiting), 120)
    await shop.work("one")
    await shop.deployment.promote("one")
    before.process.send_signal(signal.SIGTERM)
    assert await before.ends() == 0
    for order_id in waiting:
        await shop.client.approve(order_id)
    statuses = await shop.end(waiting)
    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert {frozenset(each) for each in (await shop.builds(waiting)).values()} == {frozenset({"", "one"})}


async def _reviewing(shop: Shop, ids: list[str]) -> int:
    statuses = await gathered(shop.client.status(order_id) for order_id in ids)
    return sum(status.step is Step.MANUAL_REVIEW for status in statuses)


async def _shipping(shop: Shop, ids: list[str]) -> int:
    """How many of the orders have their shipment under way."""
    statuses = await gathered(shop.client.status(order_id) for order_id in ids)
    return sum(bool(status.shipments) or status.ended for status in statuses)


async def _stuck_or_ended(shop: Shop, ids: list[str]) -> int:
    """How many of the orders have ended, or have a workflow task that failed and is tried again."""
    found = await gathered(
        shop.temporal.get_workflow_handle(names.order_workflow_id(order_id)).describe() for order_id in ids
    )
    return sum(bool(each.close_time) or each.raw_description.pending_workflow_task.attempt > 1 for each in found)
