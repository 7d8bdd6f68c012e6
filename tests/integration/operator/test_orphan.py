"""Deletion of an Order with the policy Orphan: it is removed at once, in every step."""

from __future__ import annotations

import asyncio

from orderfleet.domain.status import Step
from support.factories import order_manifest
from support.operator_env import ended, step
from support.scripted_providers import Gate


async def test_orphan_deleted_during_shipping_is_shipped(shop, workers):
    booking = Gate()
    workers.carrier.booking.before = [booking]
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True, deletionPolicy="Orphan"))
        await asyncio.wait_for(booking.reached.wait(), 60)
        await shop.delete(name)
        await shop.until_gone(name)
        booking.opened.set()
        status = await workers.handle(name).result()
    assert status.step is Step.SHIPPED
    assert workers.provider.balance(f"pay-{name}") == 1


async def test_orphan_deleted_after_its_end_is_removed(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True, deletionPolicy="Orphan"))
        done = await shop.until(name, ended)
        await shop.delete(name)
        await shop.until_gone(name)
    assert step(done) == "shipped"
    assert (await workers.recorded(name)).status.step is Step.SHIPPED
