"""Changes while the operator is down are reconciled after its restart."""

from __future__ import annotations

import pytest

from orderfleet.operator.crd import OrderResource, order_input
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually


async def test_created_while_operator_is_down_is_shipped(operator_env, workers):
    name = operator_env.name()
    await operator_env.apply(order_manifest(name, approved=True))
    async with operator_env.operator():
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_edited_while_operator_is_down_is_applied(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
    await operator_env.patch(name, address={**ADDRESS_JSON, "street": "9 Side St"})
    await operator_env.patch(name, approved=True)
    async with operator_env.operator():
        done = await operator_env.until(name, ended)
    assert done["status"]["observedGeneration"] == 3
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == "9 Side St"


async def test_order_that_continued_while_operator_was_down_is_shown(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
    handle = workers.handle(name)
    await workers.client.change(name, Change.approve())
    await handle.result()
    assert step(await operator_env.get(name)) == "manual_review"
    async with operator_env.operator():
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_operator_stopped_between_start_and_status_adopts(operator_env, workers):
    name = operator_env.name()
    order_body = order_manifest(name)
    order_body["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await operator_env.apply(order_body)
    order = OrderResource.model_validate(await operator_env.get(name))
    await workers.client.start(order_input(order, operator_env.settings))
    async with operator_env.operator():
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.patch(name, approved=True)
        done = await operator_env.until(name, ended)
    assert condition(done, "Accepted") == ("True", "Started")
    assert workers.provider.charges.total() == 1


async def test_operator_stopped_after_last_status_adds_ended_label(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
    # As if the operator had stopped before its last write.
    before_last_write = '{"metadata":{"finalizers":["orderfleet.dev/order"],"labels":{"orderfleet.dev/ended":null}}}'
    await operator_env.kubectl("patch", "ofo", name, "--type=merge", "-p", before_last_write)
    before = sum(operator_env.patches(name).values())
    async with operator_env.operator():
        await operator_env.until(name, ended)
    assert sum(operator_env.patches(name).values()) - before == 1


@pytest.mark.slow
async def test_restart_with_current_statuses_writes_nothing(operator_env, workers):
    names = [operator_env.name() for _ in range(5)]
    async with operator_env.operator():
        await operator_env.apply(*(order_manifest(name) for name in names))
        for name in names:
            await operator_env.until(name, lambda order: step(order) == "manual_review")
    last, *others = names
    before = [operator_env.patches(name) for name in others]
    async with operator_env.operator() as operator:
        await operator_env.patch(last, approved=True)
        await operator_env.until(last, ended)
        await eventually(lambda: not len(operator.queue))
    assert [operator_env.patches(name) for name in others] == before


async def test_ended_orders_are_not_listed(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
    other = operator_env.name()
    async with operator_env.operator() as operator:
        await operator_env.apply(order_manifest(other))
        await operator_env.until(other, lambda order: step(order) == "manual_review")
        assert [key.name for key in operator.cache] == [other]


async def test_ended_label_removed_by_hand_is_added_again(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
        await operator_env.kubectl("label", "ofo", name, "orderfleet.dev/ended-")
        await operator_env.until(name, ended)
