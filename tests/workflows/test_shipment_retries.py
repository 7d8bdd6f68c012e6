"""A failed dispatch is retried with another shipment, and changes between the two are kept."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowUpdateFailedError

from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import DispatchFailed
from orderfleet.domain.status import OrderStatus, PaymentStatus, ShipmentStatus, Step
from support.factories import AUTO, ELSEWHERE, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv


async def test_failed_dispatch_is_retried_with_next_shipment(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.before.append(fails(CarrierRefused("van is full")))
    status = await (await workflow_env.start(workflow_env.order("r-1", review=AUTO))).result()
    assert status.step is Step.SHIPPED
    assert [(s.id, s.status) for s in status.shipments] == [
        ("shipping-r-1-1", ShipmentStatus.FAILED),
        ("shipping-r-1-2", ShipmentStatus.DISPATCHED),
    ]
    assert status.shipments[0].dispatch_failed_reason == "van is full"
    assert len(workflow_env.carrier.parcels["ship-r-1"]) == 1
    assert workflow_env.provider.balance("pay-r-1") == 1


async def test_refused_shipment_counts_all_its_attempts(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.before += [
        fails(CarrierUnavailable("come back later")),
        fails(CarrierRefused("no van")),
    ]
    status = await (await workflow_env.start(workflow_env.order("r-7", review=AUTO))).result()
    assert [shipment.attempts for shipment in status.shipments] == [2, 1]
    assert (await workflow_env.recorded("r-7")).status.shipments == status.shipments


async def test_address_between_shipments_is_used_by_next_shipment(workflow_env: WorkflowTestEnv) -> None:
    between = Gate()
    workflow_env.carrier.booking.before.append(fails(CarrierRefused("no such street")))
    workflow_env.carrier.voiding.before.append(between)
    handle = await workflow_env.start(workflow_env.order("r-2", review=AUTO))
    await between.reached.wait()
    update = asyncio.create_task(handle.execute_update("update_address", ELSEWHERE))
    await workflow_env.until("r-2", lambda status: len(status.shipments) == 1)
    between.opened.set()
    accepted = (await asyncio.gather(update, return_exceptions=True))[0] is None
    status = await handle.result()
    assert [parcel.address for parcel in workflow_env.carrier.parcels["ship-r-2"]] == [status.address]
    assert (status.address == ELSEWHERE) is accepted


async def test_cancel_between_shipments_refunds(workflow_env: WorkflowTestEnv) -> None:
    between = Gate()
    workflow_env.carrier.booking.before.append(fails(CarrierRefused("van is full")))
    workflow_env.carrier.voiding.before.append(between)
    handle = await workflow_env.start(workflow_env.order("r-3", review=AUTO))
    await between.reached.wait()
    await handle.signal("cancel_order", "enough")
    between.opened.set()
    status = await handle.result()
    shipped = bool(workflow_env.carrier.parcels.get("ship-r-3"))
    assert status.step is (Step.SHIPPED if shipped else Step.CANCELED)
    assert workflow_env.provider.balance("pay-r-3") == int(shipped)


@pytest.mark.slow
async def test_deadline_after_charge_refunds(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.always = fails(CarrierUnavailable("come back later"))
    policy = quick_policy(
        workflow_env.settings, dispatch_carrier=StepPolicy(attempt_timeout="2s", initial_interval="30s")
    )
    handle = await workflow_env.start(workflow_env.order("r-4", review=AUTO, policy=policy, deadline="2s"))
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "deadline passed")
    assert status.payment.status is PaymentStatus.REFUNDED
    assert workflow_env.provider.charges["pay-r-4"] == workflow_env.provider.refunds["pay-r-4"] == 1


async def test_repeated_dispatch_failed_signal_changes_nothing(workflow_env: WorkflowTestEnv) -> None:
    """A repeated signal, one of another shipment, or one after the end of the shipment changes nothing."""
    workflow_env.carrier.booking.always = fails(CarrierRefused("no such street"))
    between = Gate()
    workflow_env.carrier.voiding.before.append(between)
    handle = await workflow_env.start(workflow_env.order("r-5", review=AUTO))
    await between.reached.wait()
    await handle.signal("dispatch_failed", DispatchFailed(shipment_id="shipping-r-5-1", reason="no such street"))
    await handle.signal("dispatch_failed", DispatchFailed(shipment_id="shipping-other-1", reason="something else"))
    await handle.signal("dispatch_failed", DispatchFailed(shipment_id="shipping-r-5-1", reason="something later"))
    between.opened.set()
    await eventually(lambda: workflow_env.recorded("r-5"), lambda order: order.status.completed_at is not None)
    status = (await workflow_env.recorded("r-5")).status
    assert (status.step, status.dispatch_failed_reason) == (Step.FAILED, "no such street")
    assert [each.dispatch_failed_reason for each in status.shipments] == ["no such street"] * 2
    assert (await handle.query("status", result_type=OrderStatus)).shipments == status.shipments
    assert workflow_env.provider.balance("pay-r-5") == 0


async def test_cancel_during_compensation_of_failed_order_ends_canceled(workflow_env: WorkflowTestEnv) -> None:
    """An order whose cancel was accepted must not end failed."""
    compensating = Gate()
    workflow_env.carrier.booking.always = fails(CarrierRefused("van is full"))
    workflow_env.carrier.voiding.before += [_succeeds, compensating]
    handle = await workflow_env.start(workflow_env.order("r-6", review=AUTO))
    await compensating.reached.wait()
    update = asyncio.create_task(handle.execute_update("cancel_order", "enough"))
    elsewhere = asyncio.create_task(handle.execute_update("update_address", ELSEWHERE))
    await workflow_env.until_recorded("r-6", lambda status: len(status.shipments) == 2)
    compensating.opened.set()
    assert await update is None
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await elsewhere
    assert "no package will be sent" in str(refused.value.cause)
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "enough")
    assert status.dispatch_failed_reason == "van is full"
    assert workflow_env.provider.balance("pay-r-6") == 0


async def _succeeds() -> None:
    pass
