"""An order id is used only once in all namespaces."""

from __future__ import annotations

import json

import pytest

from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually


@pytest.mark.slow
async def test_second_order_with_the_same_id_conflicts_and_leaves_the_first_alone(operator_env, workers):
    first, second = operator_env.name("first"), operator_env.name("second")
    async with operator_env.operator():
        await operator_env.apply(order_manifest(first, orderId=f"id-{first}"))
        await operator_env.until(first, lambda order: step(order) == "manual_review")
        await operator_env.apply(order_manifest(second, orderId=f"id-{first}", approved=True))
        conflicting = await operator_env.until(second, lambda order: condition(order, "Accepted") is not None)
        assert condition(conflicting, "Accepted") == ("False", "Conflict")
        assert condition(conflicting, "Stalled") == ("True", "Conflict")
        assert condition(conflicting, "Ready") == ("False", "Conflict")
        assert "step" not in conflicting["status"]
        assert conflicting["metadata"].get("finalizers") is None
        assert await operator_env.reasons(second) == ["Conflict"]
        await operator_env.delete(second)
        await operator_env.until_gone(second)
        assert step(await operator_env.get(first)) == "manual_review"
        await operator_env.patch(first, approved=True)
        done = await operator_env.until(first, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_conflict_before_anything_is_recorded_is_found_in_temporal(operator_env):
    first, second = operator_env.name("first"), operator_env.name("second")
    async with operator_env.operator():  # without a worker, so nothing is recorded
        await operator_env.apply(order_manifest(first, orderId=f"id-{first}"))
        await operator_env.until(first, lambda order: condition(order, "Accepted") == ("True", "Started"))
        await operator_env.apply(order_manifest(second, orderId=f"id-{first}"))
        conflicting = await operator_env.until(second, lambda order: condition(order, "Accepted") is not None)
        assert condition(conflicting, "Accepted") == ("False", "Conflict")
        await operator_env.until(second, lambda order: order["metadata"].get("finalizers") is None)
        await operator_env.delete(second)
        await operator_env.until_gone(second)
        assert condition(await operator_env.get(first), "Accepted") == ("True", "Started")


async def test_same_id_in_two_namespaces_conflicts(operator_env, workers):
    other = f"{operator_env.cluster.namespace}-b"
    await operator_env.kubectl("create", "namespace", other)
    name = operator_env.name()
    async with operator_env.operator(operator_namespaces=f"{operator_env.cluster.namespace}, {other}") as operator:
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.kubectl("create", "-n", other, "-f", "-", input=json.dumps(order_manifest(name)))
        await eventually(lambda: len(operator.cache) == 2 and not len(operator.queue))
        theirs = json.loads(await operator_env.kubectl("get", "-n", other, "ofo", name, "-o", "json"))
        assert condition(theirs, "Accepted") == ("False", "Conflict")
        accepted = next(each for each in theirs["status"]["conditions"] if each["type"] == "Accepted")
        assert f"belongs to Order {operator_env.cluster.namespace}/{name}" in accepted["message"]


async def test_id_of_an_order_made_outside_kubernetes_conflicts(operator_env, workers):
    name = operator_env.name()
    await workers.start(workers.order(name))
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        conflicting = await operator_env.until(name, lambda order: condition(order, "Accepted") is not None)
    assert condition(conflicting, "Accepted") == ("False", "Conflict")


async def test_applied_again_after_its_end_with_the_same_content_is_the_same_order(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        await operator_env.apply(order_manifest(name, approved=True))
        again = await operator_env.until(name, ended)
    assert condition(again, "Accepted") == ("True", "Adopted")
    assert condition(again, "Ready") == ("True", "Shipped")
    assert workers.provider.charges[f"pay-{name}"] == 1
    assert len(workers.carrier.parcels[f"ship-{name}"]) == 1


async def test_applied_again_with_another_content_conflicts(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        await operator_env.apply(order_manifest(name, approved=True, items=[{"sku": "other", "qty": 1}]))
        again = await operator_env.until(name, lambda order: condition(order, "Accepted") is not None)
    assert condition(again, "Accepted") == ("False", "Conflict")
    assert len(workers.carrier.parcels[f"ship-{name}"]) == 1


async def test_orphaned_order_applied_again_follows_new_object(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, deletionPolicy="Orphan"))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        # Generations increase before the deletion; the new Order starts at 1.
        for street in ("3 Side St", "4 Side St"):
            await operator_env.patch(name, address={**ADDRESS_JSON, "street": street})
        await operator_env.until(name, lambda order: order["status"]["observedGeneration"] == 3)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        await operator_env.apply(order_manifest(name, approved=True, address={**ADDRESS_JSON, "street": "5 Side St"}))
        done = await operator_env.until(name, ended)
    assert condition(done, "Accepted") == ("True", "Adopted")
    assert condition(done, "Ready") == ("True", "Shipped")
    assert done["status"]["observedGeneration"] == 1
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == "5 Side St"
