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


async def in_review(operator_env, *names: str, **spec) -> None:
    await operator_env.apply(*(order_manifest(name, **spec) for name in names))
    for name in names:
        await operator_env.until(name, lambda order: step(order) == "manual_review")


async def delete_namespace(operator_env) -> None:
    await operator_env.kubectl("delete", "namespace", operator_env.cluster.namespace, "--wait=false")


@pytest.mark.slow
async def test_operator_stopped_by_deletion_of_its_namespace_cancels_and_removes_its_orders(operator_env, workers):
    names = [operator_env.name() for _ in range(5)]
    orphan = operator_env.name("orphan")
    async with operator_env.operator(operator_own_namespace=operator_env.cluster.namespace):
        await in_review(operator_env, *names)
        await in_review(operator_env, orphan, deletionPolicy="Orphan")
        await delete_namespace(operator_env)
    assert [await operator_env.get(name) for name in (*names, orphan)] == [None] * 6
    for name in names:
        status = await workers.until_recorded(name, lambda status: status.ended)
        assert (status.step, status.cancel_reason) == (Step.CANCELED, DELETED)
    assert (await workers.reads.order(orphan)).status.step is Step.MANUAL_REVIEW


async def test_operator_stopped_without_namespace_deletion_keeps_its_orders(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator(operator_own_namespace=operator_env.cluster.namespace):
        await in_review(operator_env, name)
    order = await operator_env.get(name)
    assert order["metadata"]["finalizers"] == [FINALIZER]
    assert "deletionTimestamp" not in order["metadata"]


async def test_orders_of_other_namespaces_lose_finalizer_and_continue(operator_env, workers):
    own = f"{operator_env.cluster.namespace}-own"
    await operator_env.kubectl("create", "namespace", own)
    kept, deleted = operator_env.name("kept"), operator_env.name("deleted")
    watched = f"{operator_env.cluster.namespace},{own}"
    async with operator_env.operator(operator_own_namespace=own, operator_namespaces=watched):
        await in_review(operator_env, kept, deleted)
        await operator_env.delete(deleted)
        await operator_env.kubectl("delete", "namespace", own, "--wait=false")
    order = await operator_env.get(kept)
    assert "finalizers" not in order["metadata"]
    assert "deletionTimestamp" not in order["metadata"]
    assert (await workers.reads.order(kept)).status.step is Step.MANUAL_REVIEW
    assert await operator_env.get(deleted) is None
    assert (await workers.until_recorded(deleted, lambda status: status.ended)).step is Step.CANCELED


async def test_orders_of_another_operator_are_not_changed(operator_env, workers):
    ours, theirs = operator_env.name("ours"), operator_env.name("theirs")
    async with operator_env.operator():
        await in_review(operator_env, ours, theirs)
    await operator_env.kubectl("label", "ofo", theirs, "shard=b")
    async with operator_env.operator(
        operator_own_namespace=operator_env.cluster.namespace, operator_selector="shard notin (b)"
    ):
        await delete_namespace(operator_env)
    assert await operator_env.get(ours) is None
    order = await operator_env.get(theirs)
    assert order["metadata"]["finalizers"] == [FINALIZER]
    assert "deletionTimestamp" not in order["metadata"]


@pytest.mark.slow
async def test_orders_without_durable_cancel_keep_finalizer_until_another_operator_cancels(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await in_review(operator_env, name)
    await delete_namespace(operator_env)
    settings = {
        "operator_own_namespace": operator_env.cluster.namespace,
        "operator_namespace_deletion_timeout": timedelta(seconds=5),
        "temporal_address": "127.0.0.1:1",
    }
    with capture_logs() as logged:
        async with operator_env.operator(**settings):
            await asyncio.sleep(0)
    assert (await operator_env.get(name))["metadata"]["finalizers"] == [FINALIZER]
    (problem,) = [each for each in logged if each["log_level"] == "error" and "finalizer" in each["event"]]
    assert problem["orders"] == [f"{operator_env.cluster.namespace}/{name}"]
    assert "orderfleet operator" in problem["remedy"]
    # The remedy: an operator that runs outside the namespace.
    async with operator_env.operator():
        await operator_env.until_gone(name)
    assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.CANCELED


@pytest.mark.parametrize("domain", ["", ".{own}", ".{own}.svc.cluster.local"])
async def test_orders_with_temporal_in_deleted_namespace_lose_finalizer(operator_env, workers, domain):
    name = operator_env.name()
    async with operator_env.operator():
        await in_review(operator_env, name)
    await delete_namespace(operator_env)
    address = f"temporal{domain.format(own=operator_env.cluster.namespace)}:7233"
    settings = {"operator_own_namespace": operator_env.cluster.namespace, "drain_timeout": timedelta(seconds=1)}
    async with operator_env.operator(**settings, temporal_address=address):
        await asyncio.sleep(0)
    assert await operator_env.get(name) is None


def test_own_namespace_is_not_checked_by_default():
    assert Settings().operator_own_namespace == ""
