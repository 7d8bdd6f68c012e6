"""Deletion of an Order: its order is canceled or continues, and a refund does not delay the deletion."""

from __future__ import annotations

import asyncio

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.operator.crd import DELETED
from orderfleet.services.workflow_client import Change
from support.factories import order_manifest
from support.operator_env import ended, step
from support.scripted_providers import Gate


async def test_deleted_in_review_is_canceled(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        status = await workers.until_recorded(name, lambda status: status.ended)
    assert (status.step, status.cancel_reason) == (Step.CANCELED, DELETED)
    assert workers.provider.charges.total() == 0


async def test_deleted_during_shipping_is_removed_before_refund_is_done(operator_env, workers):
    booking, refunding = Gate(), Gate()
    workers.carrier.booking.before = [booking]
    workers.provider.refunding.always = refunding
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await asyncio.wait_for(booking.reached.wait(), 60)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        booking.opened.set()
        refunding.opened.set()
        status = await workers.until_recorded(name, lambda status: status.ended)
    # Booking and cancel race at the carrier: the order is shipped and paid, or neither.
    assert (status.step, status.payment.status) in {
        (Step.SHIPPED, PaymentStatus.CHARGED),
        (Step.CANCELED, PaymentStatus.REFUNDED),
    }


async def test_deleted_after_its_end_is_removed(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.SHIPPED


async def test_deleted_orphan_is_removed_and_its_order_continues(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, deletionPolicy="Orphan"))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.delete(name)
        await operator_env.until_gone(name)
        await workers.client.change(name, Change.approve())
        assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.SHIPPED


async def test_deleted_without_running_worker_is_removed_after_durable_cancel(
    operator_env, temporal_client, postgres_url
):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "receive")
        await operator_env.delete(name)
        await operator_env.until_gone(name)
    history = await temporal_client.get_workflow_handle(f"order-{name}").fetch_history()
    assert [event.workflow_execution_signaled_event_attributes.signal_name for event in history.events].count(
        "apply_spec"
    ) == 1


async def test_deleted_while_operator_is_down_is_canceled_after_restart(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
    await operator_env.delete(name)
    assert (await operator_env.get(name))["metadata"]["deletionTimestamp"]
    async with operator_env.operator():
        await operator_env.until_gone(name)
        assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.CANCELED


async def test_deleted_order_with_finalizer_never_started_is_removed_and_not_started(operator_env, temporal_client):
    name = operator_env.name()
    order = order_manifest(name)
    order["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    await operator_env.apply(order)
    await operator_env.delete(name)
    async with operator_env.operator():
        await operator_env.until_gone(name)
    found = [each async for each in temporal_client.list_workflows(f"WorkflowId = 'order-{name}'")]
    assert found == []


async def test_orders_of_deleted_namespace_are_removed(operator_env, workers):
    names = [operator_env.name() for _ in range(3)]
    async with operator_env.operator():
        await operator_env.apply(*(order_manifest(name) for name in names))
        for name in names:
            await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.kubectl("delete", "namespace", operator_env.cluster.namespace, "--wait=false")
        # As the namespace controller does, which does not run here.
        await operator_env.kubectl("delete", "ofo", "--all", "--wait=false")
        for name in names:
            await operator_env.until_gone(name)
            assert (await workers.until_recorded(name, lambda status: status.ended)).step is Step.CANCELED
