"""Orders that wait long, and orders that end with the carrier's confirmation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orderfleet.domain.order import Delivery, Review
from orderfleet.domain.shipment import CarrierUpdate, ParcelState
from orderfleet.domain.status import ShipmentStatus, Step
from orderfleet.services.workflow_client import Change
from support.factories import AUTO, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv

DELIVERED = CarrierUpdate(shipment_id="", status=ShipmentStatus.DELIVERED)


def delivered(order_id: str) -> CarrierUpdate:
    return DELIVERED.model_copy(update={"shipment_id": f"shipping-{order_id}-1"})


@pytest.mark.slow
async def test_review_deadline_after_continue_as_new_is_kept(skipping_env: WorkflowTestEnv) -> None:
    policy = quick_policy(skipping_env.settings, changes_per_run=5)
    order = skipping_env.order("l-1", policy=policy, review=Review(timeout=timedelta(hours=10)))
    handle = await skipping_env.start(order)
    for number in range(12):
        street = f"{number} Long St"
        await skipping_env.client.change(
            "l-1", Change.update_address(order.address.model_copy(update={"street": street}))
        )
    status = await handle.result()

    assert (status.step, status.cancel_reason) == (Step.CANCELED, "review timed out")
    assert status.address.street == "11 Long St"
    assert status.completed_at is not None
    waited = status.completed_at - status.created_at
    assert timedelta(hours=10) <= waited < timedelta(hours=10, minutes=1)
    runs = (await handle.describe()).run_id
    assert runs != handle.first_execution_run_id
    recorded = (await skipping_env.recorded("l-1")).status
    assert (recorded.step, recorded.address.street) == (Step.CANCELED, "11 Long St")
    assert (await skipping_env.kinds("l-1")).count("address_changed") == 12


async def test_approval_after_continue_as_new_ships(workflow_env: WorkflowTestEnv) -> None:
    policy = quick_policy(workflow_env.settings, changes_per_run=3)
    handle = await workflow_env.start(workflow_env.order("l-2", policy=policy))
    for _ in range(4):
        await workflow_env.client.change("l-2", Change.update_address(workflow_env.order("l-2").address))
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)
    await workflow_env.client.change("l-2", Change.approve())
    assert (await handle.result()).step is Step.SHIPPED
    assert (await workflow_env.recorded("l-2")).status.step is Step.SHIPPED
    assert workflow_env.provider.charges["pay-l-2"] == 1


async def test_delivery_confirmed_by_carrier_ends_delivered(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("l-3", review=AUTO, delivery=Delivery(confirm=True)))
    await workflow_env.until_recorded("l-3", lambda status: status.step is Step.SHIPPED)
    for _ in range(2):
        await handle.signal("carrier_update", delivered("l-3"))
    status = await handle.result()
    assert (status.step, status.shipments[0].status) == (Step.DELIVERED, ShipmentStatus.DELIVERED)
    assert (await workflow_env.kinds("l-3"))[-1] == "delivered"
    recorded = (await workflow_env.recorded("l-3")).status
    assert (recorded.step, recorded.shipments) == (Step.DELIVERED, status.shipments)


async def test_confirmation_before_booking_result_is_kept(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.after.append(gate)
    handle = await workflow_env.start(workflow_env.order("l-4", review=AUTO, delivery=Delivery(confirm=True)))
    await gate.reached.wait()
    await handle.signal("carrier_update", delivered("l-4"))
    gate.opened.set()
    assert (await handle.result()).step is Step.DELIVERED


async def test_carrier_updates_are_recorded_once_and_in_sequence(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("l-6", review=AUTO, delivery=Delivery(confirm=True)))
    await workflow_env.until_recorded("l-6", lambda status: status.step is Step.SHIPPED)
    away = CarrierUpdate(shipment_id="shipping-l-6-1", status=ShipmentStatus.DISPATCHED)
    booked = away.model_copy(update={"parcel": ParcelState.BOOKED})
    moving = away.model_copy(update={"parcel": ParcelState.IN_TRANSIT})
    leeds, york = (moving.model_copy(update={"detail": town}) for town in ("Leeds", "York"))
    of_another = leeds.model_copy(update={"shipment_id": "shipping-another-1"})
    for word in (away, booked, booked, leeds, leeds, booked, york, leeds, of_another):
        await handle.signal("carrier_update", word)
    assert (await workflow_env.client.status("l-6")).shipments[0].status is ShipmentStatus.DISPATCHED
    last = delivered("l-6").model_copy(update={"parcel": ParcelState.DELIVERED, "detail": "left with a neighbour"})
    await handle.signal("carrier_update", last)
    assert (await handle.result()).step is Step.DELIVERED

    found = [
        (one.kind, one.detail) for one in await workflow_env.events("l-6") if one.kind.startswith(("parcel", "deliver"))
    ]
    here = {"shipment": "shipping-l-6-1"}
    assert found == [
        ("parcel_booked", here),
        ("parcel_in_transit", {**here, "detail": "Leeds"}),
        ("parcel_in_transit", {**here, "detail": "York"}),
        ("delivered", {**here, "detail": "left with a neighbour"}),
    ]


@pytest.mark.slow
async def test_unconfirmed_delivery_ends_shipped_with_error(skipping_env: WorkflowTestEnv) -> None:
    handle = await skipping_env.start(skipping_env.order("l-5", review=AUTO, delivery=Delivery(confirm=True)))
    status = await handle.result()
    assert status.step is Step.SHIPPED
    assert status.last_error == "the carrier did not confirm delivery in time"
    assert skipping_env.provider.balance("pay-l-5") == 1
