"""Deletion of an Order with the policy Orphan: it is removed at once, in every step."""

from __future__ import annotations

import asyncio

from orderfleet.domain.status import Step
from support.factories import order_manifest
from support.operator_env import ended, step
from support.scripted_providers import Gate


async def test_orphan_deleted_during_shipping_is_shipped(operator_env, workers):
    booking = Gate()
    workers.carrier.booking.before = [booking]
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True, deletionPolicy="Orphan"))
        await asyncio.wait_for(booking.reached.wait(), 60)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        booking.opened.set()
        status = await workers.handle(name).result()
    assert status.step is Step.SHIPPED
    assert workers.provider.balance(f"pay-{name}") == 1


async def test_orphan_deleted_after_its_end_is_removed(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True, deletionPolicy="Orphan"))
        done = await operator_env.until(name, ended)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
    assert step(done) == "shipped"
    assert (await workers.recorded(name)).status.step is Step.SHIPPED
