"""An order whose payment can't be captured is held: its shipment is parked, and it waits for a payment or a cancel."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from orderfleet.domain.errors import CarrierRefused, PaymentRefused, ProviderUnavailable
from orderfleet.domain.order import CaptureMode, PaymentTerms, SpecUpdate
from orderfleet.domain.policy import OutagePolicy, StepPolicy
from orderfleet.domain.status import HoldName, OrderStatus, PaymentStatus, ShipmentStatus, SpecOutcome, Step
from orderfleet.services.errors import ChangeResult, OrderChangeRejected
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, AUTO, ELSEWHERE, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails, hangs
from support.workflow_env import WorkflowTestEnv

NO_FUNDS = fails(PaymentRefused("no funds"))
ON_SHIPMENT = PaymentTerms(capture=CaptureMode.ON_SHIPMENT, method="card-1")


async def held(env: WorkflowTestEnv, order_id: str, **changes: Any) -> WorkflowHandle[Any, OrderStatus]:
    """Start an order whose first capture is refused, and wait until it is held."""
    env.provider.capturing.before.append(NO_FUNDS)
    handle = await env.start(env.order(order_id, **{"review": AUTO, "payment": ON_SHIPMENT, **changes}))
    await env.until_recorded(order_id, lambda status: status.hold is not None)
    return handle


async def test_refused_capture_holds_the_order_and_parks_its_shipment(workflow_env: WorkflowTestEnv) -> None:
    await held(workflow_env, "hold-1")
    status, live = (await workflow_env.recorded("hold-1")).status, await workflow_env.client.status("hold-1")
    assert (status.step, status.payment.status) == (Step.SHIPPING, PaymentStatus.AUTHORIZED)
    assert [shipment.status for shipment in (*status.shipments, *live.shipments)] == [ShipmentStatus.PARKED] * 2
    assert status.hold is not None
    assert status.hold == live.hold
    assert (status.hold.name, status.hold.reason) == (HoldName.PAYMENT_REQUIRED, "no funds")
    assert "another method" in status.hold.remedy
    assert status.hold.until - status.hold.since == timedelta(days=7)
    assert (await workflow_env.kinds("hold-1"))[-3:] == ["package_prepared", "capture_refused", "held"]
    assert not workflow_env.carrier.parcels
    await workflow_env.client.change("hold-1", Change.cancel("done"))


async def test_retry_with_another_method_ships(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-2")
    assert await workflow_env.client.change("hold-2", Change.retry_payment("card-2")) is ChangeResult.ACCEPTED
    status = await handle.result()
    recorded = (await workflow_env.recorded("hold-2")).status
    assert (status.step, status.hold, recorded.hold) == (Step.SHIPPED, None, None)
    assert [shipment.status for shipment in recorded.shipments] == [ShipmentStatus.DISPATCHED]
    assert workflow_env.provider.balance("pay-hold-2") == 1
    entries = workflow_env.provider.ledger.entries("pay-hold-2")
    assert [entry.kind for entry in entries].count("authorize") == 2
    details = {event.kind: event.detail for event in await workflow_env.events("hold-2")}
    assert details["payment_retried"] == {"by": "update", "other_method": True}
    assert details["hold_ended"]["name"] == "payment_required"
    assert "card-2" not in str(details)


@pytest.mark.parametrize("argument", [(), (None,), ({"method": ""},)], ids=["none", "null", "object"])
async def test_retry_by_signal_captures_again_with_the_same_method(
    workflow_env: WorkflowTestEnv, argument: tuple
) -> None:
    order_id = f"hold-3-{len(str(argument))}"
    handle = await held(workflow_env, order_id)
    await handle.signal("retry_payment", args=list(argument))
    assert (await handle.result()).step is Step.SHIPPED
    assert workflow_env.provider.balance(f"pay-{order_id}") == 1


async def test_retry_of_an_order_without_a_hold_is_rejected(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("hold-4"))
    await workflow_env.until("hold-4", lambda status: status.step is Step.MANUAL_REVIEW)
    with pytest.raises(OrderChangeRejected, match="does not wait for its payment"):
        await workflow_env.client.change("hold-4", Change.retry_payment())
    await handle.signal("retry_payment", {"method": "card-2"})
    await workflow_env.client.change("hold-4", Change.cancel("done"))
    rejected = [event.detail for event in await workflow_env.events("hold-4") if event.kind == "change_rejected"]
    assert [each["change"] for each in rejected] == ["payment"]


@pytest.mark.parametrize("argument", ["card-2", {"method": 7}, {"method": "x" * 256}], ids=["text", "number", "long"])
async def test_retry_with_an_invalid_argument_names_the_field(workflow_env: WorkflowTestEnv, argument: Any) -> None:
    order_id = f"hold-5-{type(argument).__name__}-{len(str(argument))}"
    handle = await held(workflow_env, order_id)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update("retry_payment", argument)
    assert ("method" if isinstance(argument, dict) else "RetryPayment") in str(caught.value.cause)
    await handle.signal("retry_payment", argument)
    await workflow_env.client.change(order_id, Change.cancel("done"))
    await handle.result()
    assert "change_rejected" in await workflow_env.kinds(order_id)


async def test_method_of_the_spec_retries_a_held_order(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-6", generation=1)
    await workflow_env.client.apply_spec("hold-6", SpecUpdate(generation=2, approved=True, payment_method="card-1"))
    await workflow_env.until("hold-6", lambda status: status.declared.generation == 2)
    assert (await workflow_env.client.status("hold-6")).hold is not None  # the method is unchanged
    await workflow_env.client.apply_spec("hold-6", SpecUpdate(generation=3, approved=True, payment_method="card-2"))
    status = await handle.result()
    assert (status.step, status.declared.outcome) == (Step.SHIPPED, SpecOutcome.APPLIED)
    assert workflow_env.provider.balance("pay-hold-6") == 1


async def test_method_of_the_spec_changed_after_the_charge_is_rejected(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("hold-7", review=AUTO, generation=1))
    await gate.reached.wait()
    await workflow_env.client.apply_spec("hold-7", SpecUpdate(generation=2, approved=True, payment_method="card-2"))
    status = await workflow_env.until("hold-7", lambda status: status.declared.generation == 2)
    gate.opened.set()
    await handle.result()
    assert status.declared.outcome is SpecOutcome.REJECTED
    assert status.declared.reason.startswith("payment.method: ")


async def test_parked_shipment_is_no_attempt(workflow_env: WorkflowTestEnv) -> None:
    """With two attempts, two parked runs and one failed one still leave an attempt."""
    workflow_env.provider.capturing.before += [NO_FUNDS, NO_FUNDS]
    workflow_env.carrier.booking.before.append(fails(CarrierRefused("van is full")))
    handle = await workflow_env.start(workflow_env.order("hold-8", review=AUTO, payment=ON_SHIPMENT))
    for count in (1, 2):
        await eventually(
            lambda: workflow_env.kinds("hold-8"), lambda kinds, count=count: kinds.count("capture_refused") == count
        )
        await workflow_env.until_recorded("hold-8", lambda status: status.hold is not None)
        await workflow_env.client.change("hold-8", Change.retry_payment())
    status = await handle.result()
    assert status.step is Step.SHIPPED
    assert [(each.id, each.status) for each in status.shipments] == [
        ("shipping-hold-8-1", ShipmentStatus.FAILED),
        ("shipping-hold-8-2", ShipmentStatus.DISPATCHED),
    ]
    assert workflow_env.provider.balance("pay-hold-8") == 1
    keys = [event for event in await workflow_env.events("hold-8") if "conflicts_with" in event.detail]
    assert not keys


async def test_unknown_capture_is_captured_again_by_itself(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.capturing.after.append(hangs)
    workflow_env.provider.looking_up.before.append(hangs)
    hasty = StepPolicy(attempt_timeout="300ms", attempts=2, initial_interval="10ms")
    policy = quick_policy(
        workflow_env.settings, capture=hasty, capture_retries=OutagePolicy(first="300ms", longest="1s")
    )
    handle = await workflow_env.start(workflow_env.order("hold-9", review=AUTO, payment=ON_SHIPMENT, policy=policy))
    status = await workflow_env.until_recorded("hold-9", lambda status: status.hold is not None or status.ended)
    assert status.hold is not None
    assert status.hold.name is HoldName.CAPTURE_UNKNOWN
    ended = await handle.result()
    assert (ended.step, ended.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert (workflow_env.provider.balance("pay-hold-9"), str(workflow_env.provider.money("pay-hold-9"))) == (1, "19.98")


async def test_provider_unavailable_for_an_hour_is_asked_with_growing_gaps(
    skipping_env: WorkflowTestEnv, time_skipping_env: WorkflowEnvironment
) -> None:
    skipping_env.provider.capturing.always = fails(ProviderUnavailable("closed"))
    handle = await skipping_env.start(skipping_env.order("hold-10", review=AUTO, payment=ON_SHIPMENT))
    await skipping_env.until_recorded("hold-10", lambda status: status.hold is not None)
    await time_skipping_env.sleep(timedelta(hours=1))
    tries = (await skipping_env.kinds("hold-10")).count("capture_unknown")
    assert 3 <= tries <= 8
    skipping_env.provider.capturing.always = None
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert skipping_env.provider.balance("pay-hold-10") == 1
    assert (await skipping_env.kinds("hold-10")).count("held") == 1


async def test_hold_that_times_out_cancels_the_order(skipping_env: WorkflowTestEnv) -> None:
    skipping_env.provider.capturing.always = NO_FUNDS
    status = await (await skipping_env.start(skipping_env.order("hold-11", review=AUTO, payment=ON_SHIPMENT))).result()
    assert status.step is Step.CANCELED
    assert status.cancel_reason == "the payment was not captured within 168h: no funds"
    assert (status.hold, status.payment.status) == (None, PaymentStatus.VOIDED)
    assert status.completed_at is not None
    assert timedelta(days=7) <= status.completed_at - status.created_at < timedelta(days=7, minutes=5)
    recorded = (await skipping_env.recorded("hold-11")).status
    assert (recorded.hold, recorded.payment.status) == (None, PaymentStatus.VOIDED)
    assert skipping_env.provider.money("pay-hold-11") == 0


async def test_capture_without_an_answer_until_the_hold_ends_leaves_no_money(skipping_env: WorkflowTestEnv) -> None:
    """The provider captures, and no answer arrives: the void is the definite answer."""
    skipping_env.provider.capturing.after.append(fails(ProviderUnavailable("no answer")))
    skipping_env.provider.looking_up.always = fails(ProviderUnavailable("no answer"))
    policy = quick_policy(skipping_env.settings, payment_hold=timedelta(hours=2))
    order = skipping_env.order("hold-12", review=AUTO, payment=ON_SHIPMENT, policy=policy)
    status = await (await skipping_env.start(order)).result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.REFUNDED)
    assert skipping_env.provider.money("pay-hold-12") == 0
    assert not skipping_env.carrier.parcels


async def test_cancel_of_a_held_order_voids_its_authorization(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-13")
    assert await workflow_env.client.change("hold-13", Change.cancel("changed my mind")) is ChangeResult.ACCEPTED
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "changed my mind")
    assert (status.hold, status.payment.status) == (None, PaymentStatus.VOIDED)
    assert workflow_env.provider.money("pay-hold-13") == 0


async def test_cancel_and_retry_at_the_same_moment_end_in_one_state(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-14")
    await asyncio.gather(
        handle.signal("retry_payment", {"method": "card-2"}),
        handle.signal("cancel_order", "no"),
        handle.signal("approve"),
    )
    status = await handle.result()
    shipped = bool(workflow_env.carrier.parcels.get("ship-hold-14"))
    assert status.step is (Step.SHIPPED if shipped else Step.CANCELED)
    assert workflow_env.provider.balance("pay-hold-14") == int(shipped)


async def test_cancel_while_a_shipment_parks_is_accepted(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()

    async def refuse() -> None:
        await gate()
        raise PaymentRefused("no funds")

    workflow_env.provider.capturing.before.append(refuse)
    handle = await workflow_env.start(workflow_env.order("hold-15", review=AUTO, payment=ON_SHIPMENT))
    await gate.reached.wait()
    cancel = asyncio.create_task(handle.execute_update("cancel_order", "no"))
    gate.opened.set()
    await cancel
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "no")
    assert workflow_env.provider.money("pay-hold-15") == 0


async def test_address_of_a_held_order_changes_and_is_the_parcels(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-16")
    assert await workflow_env.client.change("hold-16", Change.update_address(ELSEWHERE)) is ChangeResult.ACCEPTED
    await workflow_env.client.change("hold-16", Change.retry_payment())
    status = await handle.result()
    assert (status.step, status.address) == (Step.SHIPPED, ELSEWHERE)
    assert [parcel.address for parcel in workflow_env.carrier.parcels["ship-hold-16"]] == [ELSEWHERE]
    assert (await workflow_env.recorded("hold-16")).status.address == ELSEWHERE


async def test_held_order_continues_as_new_and_ships(workflow_env: WorkflowTestEnv) -> None:
    policy = quick_policy(workflow_env.settings, changes_per_run=2)
    handle = await held(workflow_env, "hold-17", policy=policy)
    before = (await workflow_env.recorded("hold-17")).status.hold
    for number in range(3):
        change = Change.update_address(ADDRESS.model_copy(update={"street": f"{number} Long St"}))
        assert await workflow_env.client.change("hold-17", change) is ChangeResult.ACCEPTED
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)
    assert (await workflow_env.client.status("hold-17")).hold == before
    assert await workflow_env.client.change("hold-17", Change.retry_payment("card-2")) is ChangeResult.ACCEPTED
    status = await handle.result()
    assert (status.step, status.address.street) == (Step.SHIPPED, "2 Long St")
    assert (await workflow_env.kinds("hold-17")).count("charge_started") == 1
    assert workflow_env.provider.balance("pay-hold-17") == 1


async def test_notice_of_the_provider_captures_again(workflow_env: WorkflowTestEnv) -> None:
    handle = await held(workflow_env, "hold-18")
    await handle.signal("payment_update", {"any": "thing"})
    assert (await handle.result()).step is Step.SHIPPED


async def test_deadline_of_a_held_order_cancels_it(skipping_env: WorkflowTestEnv) -> None:
    skipping_env.provider.capturing.always = NO_FUNDS
    order = skipping_env.order("hold-19", review=AUTO, payment=ON_SHIPMENT, deadline="1h")
    status = await (await skipping_env.start(order)).result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "deadline passed")
    assert skipping_env.provider.money("pay-hold-19") == 0
