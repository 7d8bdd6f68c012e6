"""Deletion of the operator's own namespace: its Orders are canceled and removed, other Orders lose the finalizer.

The tests' API server has no controllers, so a deleted namespace stays terminating, and only the operator removes
objects from it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from orderfleet.domain.names import FINALIZER
from orderfleet.domain.status import Step
from orderfleet.operator.crd import DELETED
from orderfleet.settings import Settings
from support.factories import order_manifest
from support.operator_env import step


async def in_review(shop, *names: str, **spec) -> None:
    await shop.apply(*(order_manifest(name, **spec) for name in names))
    for name in names:
        await shop.until(name, lambda order: step(order) == "manual_review")


async def delete_namespace(shop) -> None:
    await shop.kubectl("delete", "namespace", shop.cluster.namespace, "--wait=false")


@pytest.mark.slow
async def test_operator_stopped_by_deletion_of_its_namespace_cancels_and_removes_its_orders(shop, workers):
    names = [shop.name() for _ in range(5)]
    orphan = shop.name("orphan")
    async with shop.operator(operator_own_namespace=shop.cluster.namespace):
        await in_review(shop, *names)
        await in_review(shop, orphan, deletionPolicy="Orphan")
        await delete_namespace(shop)
    assert [await shop.get(name) for name in (*names, orphan)] == [None] * 6
    for name in names:
        status = await workers.until_recorded(name, lambda status: status.ended)
        assert (status.step, status.cancel_reason) == (Step.CANCELED, DELETED)
    assert (await workers.reads.order(orphan)).status.step is Step.MANUAL_REVIEW


async def test_operator_stopped_without_namespace_deletion_keeps_its_orders(shop, workers):
    name = shop.name()
    async with shop.operator(operator_own_namespace=shop.cluster.namespace):
        await in_review(shop, name)
    order = await shop.get(name)
    assert order["metadata"]["finalizers"] == [FINALIZER]
    assert "deletionTimestamp" not in order["metadata"]


async def test_orders_of_other_namespaces_lose_finalizer_and_continue(shop, workers):
    own = f"{shop.cluster.namespace}-own"
    await shop.kubectl("create", "namespace", own)
    kept, deleted = shop.name("kept"), shop.name("deleted")
    watched = f"{shop.cluster.namespace},{own}"
    async with shop.operator(operator_own_namespace=own, operator_namespaces=watched):
        await in_review(shop, kept, deleted)
        await shop.delete(deleted)
        await shop.kubectl("delete", "namespace", own, "--wait=false")
    order = await shop.get(kept)
    assert "finalizers" not in order["metadata"]
    assert "deletionTimestamp" not in order["metadata"]
    assert (await workers.reads.order(kept)).status.step is Step.MANUAL_REVIEW
    assert await shop.get(deleted) is None
    assert (await workers.until_recorded(deleted, lambda status: status.ended)).step is Step.CANCELED


async def test_orders_of_another_operator_are_not_changed(shop, workers):
    ours, theirs = shop.name("ours"), shop.name("theirs")
    async with shop.operator():
        await in_review(shop, ours, theirs)
    await shop.kubectl("label", "ofo", theirs, "shard=b")
    async with shop.operator(operator_own_namespace=shop.cluster.namespace, operator_selector="shard notin (b)"):
        await delete_namespace(shop)
    assert await shop.get(ours) is None
    order = await shop.get(theirs)
    assert order["metadata"]["finalizers"] == [FINALIZER]
    assert "deletionTimestamp" not in order["metadata"]


@pytest.mark.slow
async def test_orders_without_durable_cancel_keep_finalizer_until_another_operator_cancels(shop, workers):
    name = shop.name()
    async with shop.operator():
        await in_review(shop, name)
    await delete_namespace(shop)
    settings = {
        "operator_own_namespace": shop.cluster.namespace,
        "operator_namespace_deletion_timeout": timedelta(seconds=5),
        "temporal_address": "127.0.0.1:1",
    }
    with capture_logs() as logged:
        async with shop.operator(**settings):
            await asyncio.sleep(0)
    assert (await shop.get(name))["metadata"]["finalizers"] == [FINALIZER]
    (problem,) = [each for each in logged if each["log_level"] == "error" and "finalizer" in each["event"]]
    assert problem["orders"] == [f"{shop.cluster.namespace}/{name}"]
    assert "orderfleet operator" in problem["remedy"]
    # The remedy: an operator that runs outside the namespace.
    async with shop.operator():
        await shop.until_gone(name)
    assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.CANCELED


@pytest.mark.parametrize("domain", ["", ".{own}", ".{own}.svc.cluster.local"])
async def test_orders_with_temporal_in_deleted_namespace_lose_finalizer(shop, workers, domain):
    name = shop.name()
    async with shop.operator():
        await in_review(shop, name)
    await delete_namespace(shop)
    address = f"temporal{domain.format(own=shop.cluster.namespace)}:7233"
    settings = {"operator_own_namespace": shop.cluster.namespace, "drain_timeout": timedelta(seconds=1)}
    async with shop.operator(**settings, temporal_address=address):
        await asyncio.sleep(0)
    assert await shop.get(name) is None


def test_own_namespace_is_not_checked_by_default():
    assert Settings().operator_own_namespace == ""
