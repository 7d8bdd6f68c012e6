"""Errors and reasons of megabytes: they keep their type, and history and database store their beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain import names
from orderfleet.domain.base import MAX_TEXT_LENGTH
from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable, PaymentRefused, ProviderUnavailable
from orderfleet.domain.order import Delivery, SpecUpdate
from orderfleet.domain.shipment import CarrierUpdate, DispatchFailed, ParcelState, ShipmentAnswer, ShipmentCancel
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.services.errors import OrderChangeRejected
from orderfleet.services.workflow_client import Change
from orderfleet.temporal.data_converter import DATA_CONVERTER
from support.factories import AUTO, ELSEWHERE
from support.polling import eventually
from support.scripted_providers import Gate, fails
from support.workflow_env import WorkflowTestEnv, workflow_test_env

LONG_TEXT = "the service says: " + "x" * 3_000_000
"""More than Temporal accepts per payload."""


@pytest.fixture
async def own(temporal_address: str, postgres_url: str, task_queues) -> AsyncIterator[WorkflowTestEnv]:
    """Workers with the product's own converter."""
    client = await Client.connect(temporal_address, data_converter=DATA_CONVERTER)
    async with workflow_test_env(client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


async def length_of_history(workflow_env: WorkflowTestEnv, workflow_id: str) -> int:
    return len((await workflow_env.temporal.get_workflow_handle(workflow_id).fetch_history()).to_json())


async def test_refused_charge_with_long_message_fails_truncated(own: WorkflowTestEnv) -> None:
    own.provider.charging.before.append(fails(PaymentRefused(LONG_TEXT)))
    handle = await own.start(own.order("o-endless", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    status = (await own.recorded("o-endless")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.FAILED)
    assert status.last_error is not None
    assert status.last_error.startswith("charge: the service says: xxx")
    assert len(status.last_error) < MAX_TEXT_LENGTH + 100
    events = await own.events("o-endless")
    assert "charge_refused" in {event.kind for event in events}
    assert max(len(str(event.detail)) for event in events) < MAX_TEXT_LENGTH + 200
    assert await length_of_history(own, "order-o-endless") < 200_000


async def test_refused_charge_after_error_with_long_message_is_voided(own: WorkflowTestEnv) -> None:
    own.provider.charging.before += [fails(ProviderUnavailable(LONG_TEXT)), fails(PaymentRefused(LONG_TEXT))]
    handle = await own.start(own.order("o-endless-2", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await own.recorded("o-endless-2")).status.payment.status is PaymentStatus.VOIDED
    events = await own.events("o-endless-2")
    assert {"attempt_failed", "charge_unknown", "payment_voided"} <= {event.kind for event in events}
    assert max(len(str(event.detail)) for event in events) < MAX_TEXT_LENGTH + 200
    assert await length_of_history(own, "order-o-endless-2") < 200_000


async def test_carrier_error_with_long_message_fails_the_shipment_truncated(own: WorkflowTestEnv) -> None:
    own.carrier.booking.before += [fails(CarrierUnavailable(LONG_TEXT)), *[fails(CarrierRefused(LONG_TEXT))] * 2]
    handle = await own.start(own.order("o-long-carrier", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    status = (await own.recorded("o-long-carrier")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.REFUNDED)
    assert [len(shipment.dispatch_failed_reason or "") for shipment in status.shipments] == [MAX_TEXT_LENGTH] * 2
    for workflow_id in ("order-o-long-carrier", *(shipment.id for shipment in status.shipments)):
        assert await length_of_history(own, workflow_id) < 200_000


async def test_forged_signals_of_a_shipment_are_truncated(workflow_env: WorkflowTestEnv) -> None:
    """Any client of Temporal can send the signals of a shipment."""
    reason = "x" * 1_000_000
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("o-forged", review=AUTO))
    await gate.reached.wait()
    failed = DispatchFailed(shipment_id="shipping-o-forged-1", reason=reason)
    await handle.signal(names.DISPATCH_FAILED, failed)
    status = await eventually(
        lambda: workflow_env.client.status("o-forged"), lambda found: found.dispatch_failed_reason
    )
    assert len(status.dispatch_failed_reason or "") == MAX_TEXT_LENGTH
    assert [len(shipment.dispatch_failed_reason or "") for shipment in status.shipments] == [MAX_TEXT_LENGTH]

    # An answer to a request that the order has not sent is ignored: the shipment's own answer decides.
    answer = ShipmentAnswer(shipment_id="shipping-o-forged-1", request=1, accepted=False, reason=reason)
    await handle.signal(names.SHIPMENT_ANSWER, answer)
    with pytest.raises(OrderChangeRejected) as rejected:
        await workflow_env.client.change("o-forged", Change.update_address(ELSEWHERE))
    assert "x" * 100 not in str(rejected.value)
    gate.opened.set()
    await handle.result()
    assert max(len(str(event.detail)) for event in await workflow_env.events("o-forged")) < MAX_TEXT_LENGTH + 200


async def test_forged_answer_to_a_pending_request_is_truncated(workflow_env: WorkflowTestEnv) -> None:
    order_id, gate, void = "o-forged-answer", Gate(), Gate()
    workflow_env.carrier.booking.before.append(gate)
    workflow_env.carrier.held_back.add(f"ship-{order_id}")
    workflow_env.carrier.voiding.always = void
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    await gate.reached.wait()
    canceling = asyncio.create_task(workflow_env.client.change(order_id, Change.cancel("changed my mind")))
    await void.reached.wait()
    forged = ShipmentAnswer(shipment_id=f"shipping-{order_id}-1", request=1, accepted=False, reason="x" * 1_000_000)
    await handle.signal(names.SHIPMENT_ANSWER, forged)
    with pytest.raises(OrderChangeRejected) as rejected:
        await canceling
    assert "x" * 100 in str(rejected.value)
    assert len(str(rejected.value)) < MAX_TEXT_LENGTH + 200
    void.opened.set()
    gate.opened.set()
    await workflow_env.until_recorded(order_id, lambda status: status.ended)
    events = await workflow_env.events(order_id)
    assert [event.detail["change"] for event in events if event.kind == "change_rejected"] == ["cancel"]
    assert max(len(str(event.detail)) for event in events) < MAX_TEXT_LENGTH + 200


async def test_forged_carrier_update_is_truncated(workflow_env: WorkflowTestEnv) -> None:
    order_id, reason = "o-forged-update", "x" * 1_000_000
    shipment_id = f"shipping-{order_id}-1"
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO, delivery=Delivery(confirm=True)))
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.SHIPPED)
    update = CarrierUpdate(
        shipment_id=shipment_id, status=ShipmentStatus.DISPATCHED, parcel=ParcelState.IN_TRANSIT, detail=reason
    )
    await handle.signal(names.CARRIER_UPDATE, update)
    delivered = update.model_copy(update={"status": ShipmentStatus.DELIVERED, "parcel": ParcelState.DELIVERED})
    await handle.signal(names.CARRIER_UPDATE, delivered)
    assert (await handle.result()).step is Step.DELIVERED
    events = await workflow_env.events(order_id)
    assert {"parcel_in_transit", "delivered"} <= {event.kind for event in events}
    assert max(len(str(event.detail)) for event in events) < MAX_TEXT_LENGTH + 200


async def test_spec_with_a_long_cancel_reason_cancels_with_its_beginning(workflow_env: WorkflowTestEnv) -> None:
    order_id = "o-long-spec"
    handle = await workflow_env.start(workflow_env.order(order_id))
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.signal(names.APPLY_SPEC, SpecUpdate(generation=2, cancel=True, cancel_reason="x" * 1_000_000))
    assert len((await handle.result()).cancel_reason or "") == MAX_TEXT_LENGTH
    assert max(len(str(event.detail)) for event in await workflow_env.events(order_id)) < MAX_TEXT_LENGTH + 200


async def test_forged_cancel_of_a_shipment_is_truncated(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    workflow_env.carrier.held_back.add("ship-o-forged-cancel")
    handle = await workflow_env.start(workflow_env.order("o-forged-cancel", review=AUTO))
    await gate.reached.wait()
    shipment = workflow_env.temporal.get_workflow_handle("shipping-o-forged-cancel-1")
    await shipment.signal(names.CANCEL_SHIPMENT, ShipmentCancel(request=1, reason="x" * 1_000_000))
    gate.opened.set()
    status = await handle.result()
    assert status.step is Step.CANCELED
    assert len(status.cancel_reason or "") == MAX_TEXT_LENGTH
