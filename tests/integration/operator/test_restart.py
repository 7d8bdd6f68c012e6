"""Changes while the operator is down are reconciled after its restart."""

from __future__ import annotations

import pytest

from orderfleet.operator.crd import OrderResource, order_input
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually


async def test_created_while_operator_is_down_is_shipped(shop, workers):
    name = shop.name()
    await shop.apply(order_manifest(name, approved=True))
    async with shop.operator():
        done = await shop.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_edited_while_operator_is_down_is_applied(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name))
        await shop.until(name, lambda order: step(order) == "manual_review")
    await shop.patch(name, address={**ADDRESS_JSON, "street": "9 Side St"})
    await shop.patch(name, approved=True)
    async with shop.operator():
        done = await shop.until(name, ended)
    assert done["status"]["observedGeneration"] == 3
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == "9 Side St"


async def test_order_that_continued_while_operator_was_down_is_shown(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name))
        await shop.until(name, lambda order: step(order) == "manual_review")
    handle = workers.handle(name)
    await workers.client.change(name, Change.approve())
    await handle.result()
    assert step(await shop.get(name)) == "manual_review"
    async with shop.operator():
        done = await shop.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_operator_stopped_between_start_and_status_adopts(shop, workers):
    name = shop.name()
    order_body = order_manifest(name)
    order_body["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await shop.apply(order_body)
    order = OrderResource.model_validate(await shop.get(name))
    await workers.client.start(order_input(order, shop.settings))
    async with shop.operator():
        await shop.until(name, lambda order: step(order) == "manual_review")
        await shop.patch(name, approved=True)
        done = await shop.until(name, ended)
    assert condition(done, "Accepted") == ("True", "Started")
    assert workers.provider.charges.total() == 1


async def test_operator_stopped_after_last_status_adds_ended_label(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True))
        await shop.until(name, ended)
    # As if the operator had stopped before its last write.
    before_last_write = '{"metadata":{"finalizers":["orderfleet.dev/order"],"labels":{"orderfleet.dev/ended":null}}}'
    await shop.kubectl("patch", "ofo", name, "--type=merge", "-p", before_last_write)
    before = sum(shop.patches(name).values())
    async with shop.operator():
        await shop.until(name, ended)
    assert sum(shop.patches(name).values()) - before == 1


@pytest.mark.slow
async def test_restart_with_current_statuses_writes_nothing(shop, workers):
    names = [shop.name() for _ in range(5)]
    async with shop.operator():
        await shop.apply(*(order_manifest(name) for name in names))
        for name in names:
            await shop.until(name, lambda order: step(order) == "manual_review")
    last, *others = names
    before = [shop.patches(name) for name in others]
    async with shop.operator() as operator:
        await shop.patch(last, approved=True)
        await shop.until(last, ended)
        await eventually(lambda: not len(operator.queue))
    assert [shop.patches(name) for name in others] == before


async def test_ended_orders_are_not_listed(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True))
        await shop.until(name, ended)
    other = shop.name()
    async with shop.operator() as operator:
        await shop.apply(order_manifest(other))
        await shop.until(other, lambda order: step(order) == "manual_review")
        assert [key.name for key in operator.cache] == [other]


async def test_ended_label_removed_by_hand_is_added_again(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True))
        await shop.until(name, ended)
        await shop.kubectl("label", "ofo", name, "orderfleet.dev/ended-")
        await shop.until(name, ended)
