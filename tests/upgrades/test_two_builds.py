"""Two different builds of the workers under load, as real processes with a real Temporal."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from orderfleet.domain import names
from orderfleet.domain.order import Review
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import Step
from support.polling import eventually
from upgrades.builds import Edit, activities_of, builds_of, changed
from upgrades.versioned_orders import RECORDS_BEFORE_THE_CHARGE, VersionedOrders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PREPARES_TWICE = Edit(
    "shipping/workflow.py",
    "            await self._prepare(shipment)\n            if shipment.capture",
    "            await self._prepare(shipment)\n"
    "            self._prepared = None\n"
    "            await self._prepare(shipment)\n"
    "            if shipment.capture",
)
"""A change without a patch: shipments are pinned."""
FAILS = Edit(
    "orders/workflow.py",
    "        ctx = self._ctx\n        if ctx.order.deadline",
    "        ctx = self._ctx\n        raise RuntimeError('a bad version')\n        if ctx.order.deadline",
)
SLOWLY = StepPolicy(attempt_timeout="5s", initial_interval="30s", maximum_interval="30s")
ORDERS = 60
RAMP = 25


async def test_ramp_moves_a_share_of_orders_and_the_old_build_drains(orders: VersionedOrders, tmp_path: Path) -> None:
    old = await orders.work("one", ORDERFLEET_FAULTS="dispatch_carrier:error=1.0,attempts=1")
    await orders.deployment.promote("one")
    waiting = await orders.start("waiting", 4, review=Review())
    await orders.work("two", PYTHONPATH=changed(tmp_path / "two", RECORDS_BEFORE_THE_CHARGE, PREPARES_TWICE))
    await orders.deployment.ramp("two", RAMP)
    await orders.until_ramping("two")

    ramped = await orders.start("ramped", ORDERS)
    statuses = await orders.end(ramped)
    builds = await orders.builds(ramped)
    assert set().union(*builds.values()) == {"one", "two"}
    assert 0 < sum(found == {"two"} for found in builds.values()) < ORDERS / 2

    # Their first dispatch on the first build fails; its retry runs when the second build is current.
    last = await orders.start("last", 12, policy=orders.policy(dispatch_carrier=SLOWLY))
    await orders.until_shipping(last)
    await orders.deployment.promote("two")
    assert set(last) - set(await orders.ended(last))
    await orders.approve(waiting)
    started_later = await orders.start("started_later", 8)
    statuses += await orders.end([*last, *waiting, *started_later])

    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert orders.order_errors(statuses) == []
    # Orders move to the current version: those that waited since the first build take the patch of the second.
    assert {frozenset(each) for each in (await orders.builds(started_later)).values()} == {frozenset({"two"})}
    assert {order_id for order_id, each in (await orders.builds(waiting)).items() if "two" in each} == set(waiting)
    for order_id in (*waiting, *started_later):
        steps = await activities_of(orders.temporal, names.order_workflow_id(order_id))
        assert steps[steps.index("charge") - 1] == "record", order_id
    # Shipments are pinned: each ended on the build that started it.
    shipments = [names.shipment_id(order_id, 1) for order_id in (*ramped, *last, *waiting, *started_later)]
    for shipment in shipments:
        build = await builds_of(orders.temporal, shipment)
        prepared = (await activities_of(orders.temporal, shipment)).count("prepare_package")
        assert set(build) in ({"one"}, {"two"}), shipment
        assert prepared >= (2 if "two" in build else 1), shipment

    await orders.deployment.drained("one")
    old.process.send_signal(signal.SIGTERM)
    assert await old.ends() == 0
    after = await orders.end(await orders.start("after", 4))
    assert {status.step for status in after} == {Step.SHIPPED}
    assert orders.order_errors(after) == []


async def test_rollback_of_a_bad_build_loses_no_order(orders: VersionedOrders, tmp_path: Path) -> None:
    await orders.work("good")
    await orders.deployment.promote("good")
    bad = await orders.work("bad", PYTHONPATH=changed(tmp_path / "bad", FAILS))
    await orders.deployment.ramp("bad", RAMP)
    probes = await orders.until_ramping("bad")

    ids = await orders.start("ramped", ORDERS)
    await eventually(lambda: orders.blocked_or_ended(ids), lambda found: found == ORDERS, 180)
    assert ORDERS / 2 < len(await orders.ended(ids)) < ORDERS
    await orders.deployment.roll_back("bad")
    bad.process.send_signal(signal.SIGTERM)
    assert await bad.ends() == 0

    statuses = await orders.end([*ids, *probes])
    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert orders.order_errors(statuses) == []
    assert set().union(*(await orders.builds(ids)).values()) == {"good"}


async def test_order_started_without_a_version_continues_on_the_first_version(orders: VersionedOrders) -> None:
    before = await orders.work("", ORDERFLEET_WORKER_DEPLOYMENT="")
    waiting = await orders.start("waiting", 2, review=Review())
    await orders.until_at(Step.MANUAL_REVIEW, waiting)
    await orders.work("one")
    await orders.deployment.promote("one")
    before.process.send_signal(signal.SIGTERM)
    assert await before.ends() == 0
    await orders.approve(waiting)
    statuses = await orders.end(waiting)
    assert {status.step for status in statuses} == {Step.SHIPPED}
    assert {frozenset(each) for each in (await orders.builds(waiting)).values()} == {frozenset({"", "one"})}
