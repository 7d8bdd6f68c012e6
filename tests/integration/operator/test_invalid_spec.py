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
def store_invalid_items(operator_env):
    """Change the items of an Order in etcd, without schema validation."""

    async def change(name: str) -> None:
        key = base64.b64encode(
            f"/registry/orderfleet.dev/orders/{operator_env.cluster.namespace}/{name}".encode()
        ).decode()
        async with httpx.AsyncClient(base_url=operator_env.cluster.store, timeout=30) as store:
            (found,) = (await store.post("/v3/kv/range", json={"key": key})).raise_for_status().json()["kvs"]
            order = json.loads(base64.b64decode(found["value"]))
            order["spec"]["items"] = [{"sku": "widget", "count": "two"}]
            value = base64.b64encode(json.dumps(order).encode()).decode()
            (await store.post("/v3/kv/put", json={"key": key, "value": value})).raise_for_status()
        await operator_env.until(name, lambda order: "qty" not in order["spec"]["items"][0])

    return change


async def test_started_order_with_invalid_spec_is_canceled_and_removed(operator_env, workers, store_invalid_items):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
    await store_invalid_items(name)
    async with operator_env.operator():
        await operator_env.until(name, lambda order: condition(order, "Stalled") == ("True", "InvalidSpec"))
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        status = await workers.until_recorded(name, lambda status: status.ended)
    assert (status.step, status.cancel_reason) == (Step.CANCELED, DELETED)


async def test_order_with_invalid_spec_never_started_is_removed(operator_env, temporal_client, store_invalid_items):
    name = operator_env.name()
    order = order_manifest(name)
    order["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await operator_env.apply(order)
    await store_invalid_items(name)
    async with operator_env.operator():
        await operator_env.until(name, lambda order: condition(order, "Stalled") == ("True", "InvalidSpec"))
        await operator_env.delete(name)
        await operator_env.until_gone(name)
    assert [each async for each in temporal_client.list_workflows(f"WorkflowId = 'order-{name}'")] == []


async def test_order_with_invalid_spec_never_cancels_another_of_its_id(operator_env, workers, store_invalid_items):
    first, second = operator_env.name("first"), operator_env.name("second")
    async with operator_env.operator():
        await operator_env.apply(order_manifest(first))
        await operator_env.until(first, lambda order: step(order) == "manual_review")
    other = order_manifest(second, orderId=first)
    other["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await operator_env.apply(other)
    await store_invalid_items(second)
    async with operator_env.operator():
        await operator_env.delete(second)
        await operator_env.until_gone(second)
        await workers.client.change(first, Change.approve())
        assert (await workers.until_recorded(first, lambda status: status.ended)).step is Step.SHIPPED
