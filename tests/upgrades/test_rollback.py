"""Rollbacks with workflows that the new build has already advanced."""

from __future__ import annotations

from pathlib import Path

import pytest
from builds import Edit, builds_of, changed
from versioned_shop import RECORDS_BEFORE_THE_CHARGE, Shop

from orderfleet.domain import names
from orderfleet.domain.order import Delivery
from orderfleet.domain.status import Step
from worker_processes import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHIPPING_FAILS = Edit(
    "shipping/workflow.py",
    "        result = await self._ship(given)\n",
    "        raise RuntimeError('a bad version')\n        result = await self._ship(given)\n",
)


async def test_order_with_a_patch_is_blocked_after_a_rollback_unless_it_is_pinned(shop: Shop, tmp_path: Path) -> None:
    await shop.work("one")
    await shop.work("two", PYTHONPATH=changed(tmp_path / "two", RECORDS_BEFORE_THE_CHARGE))
    await shop.deployment.promote("two")
    pinned, left = await shop.start("patched", 2, delivery=Delivery(confirm=True))
    await shop.until_at(Step.SHIPPED, [pinned, left])
    await shop.deployment.pin_patched(names.order_workflow_id(pinned), "recorded-before-the-charge", "two")
    await shop.deployment.promote("one")

    await shop.delivered([pinned, left])
    statuses = await shop.end([pinned, *await shop.start("other", 1)])
    assert [status.step for status in statuses] == [Step.DELIVERED, Step.SHIPPED]
    await until(lambda: shop.blocked_or_ended([left]), bool, 120)
    assert await shop.ended([left]) == []

    await shop.deployment.promote("two")
    (status,) = await shop.end([left])
    assert status.step is Step.DELIVERED


async def test_shipment_of_a_failing_build_ends_when_pinned_to_another(shop: Shop, tmp_path: Path) -> None:
    await shop.work("good")
    await shop.work("bad", PYTHONPATH=changed(tmp_path / "bad", SHIPPING_FAILS))
    await shop.deployment.promote("bad")
    ids = await shop.start("shipping", 1)
    shipment = names.shipment_id(ids[0], 1)
    await until(lambda: shop.shipment(ids[0]), lambda attempt: attempt > 1, 120)
    await shop.deployment.promote("good")
    await shop.deployment.pin(shipment, "good")
    statuses = await shop.end(ids)
    assert statuses[0].step is Step.SHIPPED
    assert set(await builds_of(shop.temporal, shipment)) == {"good"}
    assert shop.wrong(statuses) == []
