"""An order id is used only once in all namespaces."""

from __future__ import annotations

import json

import pytest

from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually


@pytest.mark.slow
async def test_second_order_with_the_same_id_conflicts_and_leaves_the_first_alone(shop, workers):
    first, second = shop.name("first"), shop.name("second")
    async with shop.operator():
        await shop.apply(order_manifest(first, orderId=f"id-{first}"))
        await shop.until(first, lambda order: step(order) == "manual_review")
        await shop.apply(order_manifest(second, orderId=f"id-{first}", approved=True))
        conflicting = await shop.until(second, lambda order: condition(order, "Accepted") is not None)
        assert condition(conflicting, "Accepted") == ("False", "Conflict")
        assert condition(conflicting, "Stalled") == ("True", "Conflict")
        assert condition(conflicting, "Ready") == ("False", "Conflict")
        assert "step" not in conflicting["status"]
        assert conflicting["metadata"].get("finalizers") is None
        assert await shop.reasons(second) == ["Conflict"]
        await shop.delete(second)
        await shop.until_gone(second)
        assert step(await shop.get(first)) == "manual_review"
        await shop.patch(first, approved=True)
        done = await shop.until(first, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_conflict_before_anything_is_recorded_is_found_in_temporal(shop):
    first, second = shop.name("first"), shop.name("second")
    async with shop.operator():  # without a worker, so nothing is recorded
        await shop.apply(order_manifest(first, orderId=f"id-{first}"))
        await shop.until(first, lambda order: condition(order, "Accepted") == ("True", "Started"))
        await shop.apply(order_manifest(second, orderId=f"id-{first}"))
        conflicting = await shop.until(second, lambda order: condition(order, "Accepted") is not None)
        assert condition(conflicting, "Accepted") == ("False", "Conflict")
        await shop.until(second, lambda order: order["metadata"].get("finalizers") is None)
        await shop.delete(second)
        await shop.until_gone(second)
        assert condition(await shop.get(first), "Accepted") == ("True", "Started")


async def test_same_id_in_two_namespaces_conflicts(shop, workers):
    other = f"{shop.cluster.namespace}-b"
    await shop.kubectl("create", "namespace", other)
    name = shop.name()
    async with shop.operator(operator_namespaces=f"{shop.cluster.namespace}, {other}") as operator:
        await shop.apply(order_manifest(name))
        await shop.until(name, lambda order: step(order) == "manual_review")
        await shop.kubectl("create", "-n", other, "-f", "-", input=json.dumps(order_manifest(name)))
        await eventually(lambda: len(operator.cache) == 2 and not len(operator.queue))
        theirs = json.loads(await shop.kubectl("get", "-n", other, "ofo", name, "-o", "json"))
        assert condition(theirs, "Accepted") == ("False", "Conflict")
        accepted = next(each for each in theirs["status"]["conditions"] if each["type"] == "Accepted")
        assert f"belongs to Order {shop.cluster.namespace}/{name}" in accepted["message"]


async def test_id_of_an_order_made_outside_kubernetes_conflicts(shop, workers):
    name = shop.name()
    await workers.start(workers.order(name))
    async with shop.operator():
        await shop.apply(order_manifest(name))
        conflicting = await shop.until(name, lambda order: condition(order, "Accepted") is not None)
    assert condition(conflicting, "Accepted") == ("False", "Conflict")


async def test_applied_again_after_its_end_with_the_same_content_is_the_same_order(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True))
        await shop.until(name, ended)
        await shop.delete(name)
        await shop.until_gone(name)
        await shop.apply(order_manifest(name, approved=True))
        again = await shop.until(name, ended)
    assert condition(again, "Accepted") == ("True", "Adopted")
    assert condition(again, "Ready") == ("True", "Shipped")
    assert workers.provider.charges[f"pay-{name}"] == 1
    assert len(workers.carrier.parcels[f"ship-{name}"]) == 1


async def test_applied_again_with_another_content_conflicts(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, approved=True))
        await shop.until(name, ended)
        await shop.delete(name)
        await shop.until_gone(name)
        await shop.apply(order_manifest(name, approved=True, items=[{"sku": "other", "qty": 1}]))
        again = await shop.until(name, lambda order: condition(order, "Accepted") is not None)
    assert condition(again, "Accepted") == ("False", "Conflict")
    assert len(workers.carrier.parcels[f"ship-{name}"]) == 1


async def test_orphaned_order_applied_again_follows_new_object(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, deletionPolicy="Orphan"))
        await shop.until(name, lambda order: step(order) == "manual_review")
        # Generations increase before the deletion; the new Order starts at 1.
        for street in ("3 Side St", "4 Side St"):
            await shop.patch(name, address={**ADDRESS_JSON, "street": street})
        await shop.until(name, lambda order: order["status"]["observedGeneration"] == 3)
        await shop.delete(name)
        await shop.until_gone(name)
        await shop.apply(order_manifest(name, approved=True, address={**ADDRESS_JSON, "street": "5 Side St"}))
        done = await shop.until(name, ended)
    assert condition(done, "Accepted") == ("True", "Adopted")
    assert condition(done, "Ready") == ("True", "Shipped")
    assert done["status"]["observedGeneration"] == 1
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == "5 Side St"
