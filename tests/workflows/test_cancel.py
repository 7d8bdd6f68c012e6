"""A cancel at each step: a charge is refunded, a booking is voided, a dispatched parcel is not stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from temporalio.service import RPCError

from orderfleet.domain.errors import CarrierUnavailable
from orderfleet.domain.order import Review
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.services.errors import ChangeResult, OrderChangeRejected
from orderfleet.services.workflow_client import Change
from support.factories import AUTO, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv


async def test_cancel_during_review_charges_nothing(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("c-1"))
    await workflow_env.until("c-1", lambda status: status.step is Step.MANUAL_REVIEW)
    assert await workflow_env.client.change("c-1", Change.cancel("changed my mind")) is ChangeResult.ACCEPTED
    status = await handle.result()

    assert (status.step, status.canceled, status.cancel_reason) == (Step.CANCELED, True, "changed my mind")
    assert status.payment.status is None
    assert not workflow_env.provider.charges


async def test_cancel_before_the_first_step_cancels(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.temporal.start_workflow(
        "OrderWorkflow",
        workflow_env.order("c-2", review=AUTO),
        id="order-c-2",
        task_queue=workflow_env.settings.orders_task_queue,
        start_signal="cancel_order",
    )
    await handle.result()
    recorded = (await workflow_env.recorded("c-2")).status
    assert (recorded.step, recorded.cancel_reason) == (Step.CANCELED, "canceled")
    assert not workflow_env.provider.charges


async def test_approve_and_cancel_in_one_workflow_task_cancels(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("c-3"))
    await workflow_env.until("c-3", lambda status: status.step is Step.MANUAL_REVIEW)
    await asyncio.gather(handle.signal("approve"), handle.signal("cancel_order", "no"))
    status = await handle.result()
    assert status.step is Step.CANCELED
    assert workflow_env.provider.balance("pay-c-3") == 0


async def test_cancel_during_the_charge_refunds(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.charging.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("c-4", review=AUTO))
    await gate.reached.wait()
    assert await workflow_env.client.change("c-4", Change.cancel("too dear")) is ChangeResult.ACCEPTED
    gate.opened.set()
    status = await handle.result()

    assert (status.step, status.cancel_reason) == (Step.CANCELED, "too dear")
    assert workflow_env.provider.charges["pay-c-4"] == workflow_env.provider.refunds["pay-c-4"] == 1
    assert status.payment.status is PaymentStatus.REFUNDED
    assert (await workflow_env.recorded("c-4")).status.payment.status is PaymentStatus.REFUNDED
    assert not workflow_env.carrier.parcels


async def test_cancel_payment_after_the_charge_refunds(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.charging.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("c-5", review=AUTO))
    await gate.reached.wait()
    await handle.signal("cancel_payment")
    gate.opened.set()
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "payment canceled")
    assert workflow_env.provider.balance("pay-c-5") == 0


async def test_cancel_in_temporal_cancels_the_order(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.charging.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("c-6", review=AUTO))
    await gate.reached.wait()
    await handle.cancel()
    gate.opened.set()
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "canceled in Temporal")
    assert workflow_env.provider.balance("pay-c-6") == 0


async def test_cancel_after_dispatch_is_rejected_with_reason(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("c-7", review=AUTO))
    await gate.reached.wait()
    with pytest.raises(OrderChangeRejected, match="already dispatched"):
        await workflow_env.client.change("c-7", Change.cancel("too late"))
    gate.opened.set()
    status = await handle.result()

    assert status.step is Step.SHIPPED
    assert not status.canceled
    assert workflow_env.provider.balance("pay-c-7") == 1
    rejected = [e.detail for e in await workflow_env.events("c-7") if e.kind == "change_rejected"]
    assert rejected == [{"change": "cancel", "reason": "the package is already dispatched"}]


async def test_cancel_during_dispatch_voids_the_booking(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)  # the booking is in progress, and the carrier has not received it
    handle = await workflow_env.start(workflow_env.order("c-8", review=AUTO))
    await gate.reached.wait()
    assert await workflow_env.client.change("c-8", Change.cancel("just in time")) is ChangeResult.ACCEPTED
    gate.opened.set()
    status = await handle.result()

    assert (status.step, status.cancel_reason) == (Step.CANCELED, "just in time")
    assert status.shipments[0].status is ShipmentStatus.CANCELED
    assert not workflow_env.carrier.parcels
    assert workflow_env.provider.balance("pay-c-8") == 0


async def test_cancel_of_booked_parcel_before_it_leaves_cancels(workflow_env: WorkflowTestEnv) -> None:
    """The booking succeeds while it is being voided: the result of the void decides."""
    voiding = Gate()
    workflow_env.carrier.held_back.add("ship-c-20")
    booking = Gate()
    workflow_env.carrier.booking.after.append(booking)
    workflow_env.carrier.voiding.after.append(voiding)
    handle = await workflow_env.start(workflow_env.order("c-20", review=AUTO))
    await booking.reached.wait()
    update = asyncio.create_task(handle.execute_update("cancel_order", "just in time"))
    await voiding.reached.wait()  # the booking is void, and the shipment does not have the result yet
    booking.opened.set()
    await workflow_env.until_recorded("c-20", lambda found: found.shipments[0].status is ShipmentStatus.DISPATCHED)
    voiding.opened.set()
    await update
    status = await handle.result()

    assert (status.step, status.cancel_reason) == (Step.CANCELED, "just in time")
    assert not workflow_env.carrier.parcels["ship-c-20"]
    assert workflow_env.provider.balance("pay-c-20") == 0
    recorded = (await workflow_env.recorded("c-20")).status
    assert [shipment.status for shipment in (*status.shipments, *recorded.shipments)] == [ShipmentStatus.CANCELED] * 2


async def test_cancel_between_dispatch_attempts_does_not_wait_for_the_next(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.always = fails(CarrierUnavailable("come back later"))
    slow = StepPolicy(attempt_timeout="2s", initial_interval="3m", maximum_interval="3m")
    policy = quick_policy(workflow_env.settings, dispatch_carrier=slow)
    handle = await workflow_env.start(workflow_env.order("c-9", review=AUTO, policy=policy))
    await eventually(lambda: workflow_env.kinds("c-9"), lambda kinds: "attempt_failed" in kinds)
    assert await workflow_env.client.change("c-9", Change.cancel("enough")) is ChangeResult.ACCEPTED
    async with asyncio.timeout(60):  # it does not wait for the next attempt
        status = await handle.result()
    assert status.step is Step.CANCELED
    assert workflow_env.provider.balance("pay-c-9") == 0


async def test_deadline_cancels_and_refunds(skipping_env: WorkflowTestEnv) -> None:
    order = skipping_env.order("c-10", deadline="1h", review=Review(timeout="48h"))
    status = await (await skipping_env.start(order)).result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "deadline passed")


async def test_cancel_twice_keeps_the_first_reason(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("c-11"))
    await workflow_env.until("c-11", lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.signal("cancel_order", "first")
    with suppress(RPCError):  # it may have ended by now
        await handle.signal("cancel_order", "second")
    assert (await handle.result()).cancel_reason == "first"


@pytest.mark.parametrize("reason", [{"reason": "an object"}, "a string"])
async def test_cancel_reason_as_text_or_object_is_recorded(workflow_env: WorkflowTestEnv, reason: object) -> None:
    order_id = f"c-13-{type(reason).__name__}"
    handle = await workflow_env.start(workflow_env.order(order_id))
    await handle.signal("cancel_order", reason)
    assert (await handle.result()).cancel_reason in {"an object", "a string"}
