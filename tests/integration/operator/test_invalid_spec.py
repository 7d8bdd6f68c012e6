"""Deletion of Orders with an invalid spec, which an older CRD may have admitted."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from orderfleet.domain.status import Step
from orderfleet.operator.crd import DELETED
from orderfleet.services.workflow_client import Change
from support.factories import order_manifest
from support.operator_env import condition, step


@pytest.fixture
def store_invalid_items(shop):
    """Change the items of an Order in etcd, without schema validation."""

    async def change(name: str) -> None:
        key = base64.b64encode(f"/registry/orderfleet.dev/orders/{shop.cluster.namespace}/{name}".encode()).decode()
        async with httpx.AsyncClient(base_url=shop.cluster.store, timeout=30) as store:
            (found,) = (await store.post("/v3/kv/range", json={"key": key})).raise_for_status().json()["kvs"]
            order = json.loads(base64.b64decode(found["value"]))
            order["spec"]["items"] = [{"sku": "widget", "count": "two"}]
            value = base64.b64encode(json.dumps(order).encode()).decode()
            (await store.post("/v3/kv/put", json={"key": key, "value": value})).raise_for_status()
        await shop.until(name, lambda order: "qty" not in order["spec"]["items"][0])

    return change


async def test_started_order_with_invalid_spec_is_canceled_and_removed(shop, workers, store_invalid_items):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name))
        await shop.until(name, lambda order: step(order) == "manual_review")
    await store_invalid_items(name)
    async with shop.operator():
        await shop.until(name, lambda order: condition(order, "Stalled") == ("True", "InvalidSpec"))
        await shop.delete(name)
        await shop.until_gone(name)
        status = await workers.until_recorded(name, lambda status: status.ended)
    assert (status.step, status.cancel_reason) == (Step.CANCELED, DELETED)


async def test_order_with_invalid_spec_never_started_is_removed(shop, temporal_client, store_invalid_items):
    name = shop.name()
    order = order_manifest(name)
    order["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await shop.apply(order)
    await store_invalid_items(name)
    async with shop.operator():
        await shop.until(name, lambda order: condition(order, "Stalled") == ("True", "InvalidSpec"))
        await shop.delete(name)
        await shop.until_gone(name)
    assert [each async for each in temporal_client.list_workflows(f"WorkflowId = 'order-{name}'")] == []


async def test_order_with_invalid_spec_never_cancels_another_of_its_id(shop, workers, store_invalid_items):
    first, second = shop.name("first"), shop.name("second")
    async with shop.operator():
        await shop.apply(order_manifest(first))
        await shop.until(first, lambda order: step(order) == "manual_review")
    other = order_manifest(second, orderId=first)
    other["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await shop.apply(other)
    await store_invalid_items(second)
    async with shop.operator():
        await shop.delete(second)
        await shop.until_gone(second)
        await workers.client.change(first, Change.approve())
        assert (await workers.until_recorded(first, lambda status: status.ended)).step is Step.SHIPPED
