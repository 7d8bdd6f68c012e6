"""Rollbacks with workflows that the new build has already advanced."""

from __future__ import annotations

from pathlib import Path

import pytest

from orderfleet.domain import names
from orderfleet.domain.order import Delivery
from orderfleet.domain.status import Step
from support.polling import eventually
from upgrades.builds import Edit, builds_of, changed
from upgrades.versioned_orders import RECORDS_BEFORE_THE_CHARGE, VersionedOrders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHIPPING_FAILS = Edit(
    "shipping/workflow.py",
    "        result = await self._ship(self._input)\n",
    "        raise RuntimeError('a bad version')\n        result = await self._ship(self._input)\n",
)


async def test_order_with_a_patch_is_blocked_after_a_rollback_unless_it_is_pinned(
    orders: VersionedOrders, tmp_path: Path
) -> None:
    await orders.work("one")
    await orders.work("two", PYTHONPATH=changed(tmp_path / "two", RECORDS_BEFORE_THE_CHARGE))
    await orders.deployment.promote("two")
    pinned, left = await orders.start("patched", 2, delivery=Delivery(confirm=True))
    await orders.until_at(Step.SHIPPED, [pinned, left])
    await orders.deployment.pin_patched(names.order_workflow_id(pinned), "recorded-before-the-charge", "two")
    await orders.deployment.promote("one")

    await orders.delivered([pinned, left])
    statuses = await orders.end([pinned, *await orders.start("other", 1)])
    assert [status.step for status in statuses] == [Step.DELIVERED, Step.SHIPPED]
    await eventually(lambda: orders.blocked_or_ended([left]), bool, 120)
    assert await orders.ended([left]) == []

    await orders.deployment.promote("two")
    (status,) = await orders.end([left])
    assert status.step is Step.DELIVERED


async def test_shipment_of_a_failing_build_ends_when_pinned_to_another(orders: VersionedOrders, tmp_path: Path) -> None:
    await orders.work("good")
    await orders.work("bad", PYTHONPATH=changed(tmp_path / "bad", SHIPPING_FAILS))
    await orders.deployment.promote("bad")
    ids = await orders.start("shipping", 1)
    shipment = names.shipment_id(ids[0], 1)
    await eventually(lambda: orders.shipment(ids[0]), lambda attempt: attempt > 1, 120)
    await orders.deployment.promote("good")
    await orders.deployment.pin(shipment, "good")
    statuses = await orders.end(ids)
    assert statuses[0].step is Step.SHIPPED
    assert set(await builds_of(orders.temporal, shipment)) == {"good"}
    assert orders.order_errors(statuses) == []
