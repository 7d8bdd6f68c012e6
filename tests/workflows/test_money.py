"""Payments with a faulty provider: no order is charged twice, and none is charged without a parcel."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.errors import (
    CarrierRefused,
    PaymentRefused,
    ProviderRequestRejected,
    ProviderUnavailable,
    StoreUnavailable,
)
from orderfleet.domain.payment import Charge, PaymentIntent
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import Booking, Parcel
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.services.workflow_client import Change
from orderfleet.store.writes import OrderWrites
from support.factories import AUTO, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails, hangs
from support.workflow_env import WorkflowTestEnv, workflow_test_env

HASTY = StepPolicy(attempt_timeout="300ms", initial_interval="10ms")


async def ends_failed(env: WorkflowTestEnv, order_id: str) -> str:
    with pytest.raises(WorkflowFailureError) as failure:
        await env.handle(order_id).result()
    return str(failure.value.cause)


async def test_refused_charge_fails_the_order(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.charging.before.append(fails(PaymentRefused("card expired")))
    await workflow_env.start(workflow_env.order("m-1", review=AUTO))
    assert "card expired" in await ends_failed(workflow_env, "m-1")

    status = (await workflow_env.recorded("m-1")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.FAILED)
    assert status.last_error == "charge: card expired"
    assert not workflow_env.provider.charges


async def test_charge_refused_while_an_earlier_attempt_is_in_progress_is_voided(workflow_env: WorkflowTestEnv) -> None:
    first, answers = Gate(), []
    workflow_env.provider.charging.before += [first, fails(PaymentRefused("card expired"))]
    charge = workflow_env.provider.charge

    async def counted(payment: PaymentIntent) -> Charge:
        try:
            return await charge(payment)
        finally:
            answers.append(payment.payment_id)

    workflow_env.provider.charge = counted  # type: ignore[method-assign]
    policy = quick_policy(workflow_env.settings, charge=HASTY)
    await workflow_env.start(workflow_env.order("m-30", review=AUTO, policy=policy))
    assert "card expired" in await ends_failed(workflow_env, "m-30")
    assert answers == ["pay-m-30"]
    first.opened.set()

    await eventually(lambda: len(answers) == 2)
    assert not workflow_env.provider.charges
    status = (await workflow_env.recorded("m-30")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.VOIDED)
    assert status.last_error == "charge: card expired"
    kinds = await workflow_env.kinds("m-30")
    assert kinds.index("charge_unknown") < kinds.index("payment_voided") < kinds.index("failed")
    assert "charge_refused" not in kinds


async def test_charge_made_after_the_refusal_of_an_earlier_attempt_is_kept(workflow_env: WorkflowTestEnv) -> None:
    """The refused attempt had timed out, so Temporal has only the answer of the second one."""
    first, second = Gate(), Gate()

    async def refused_late() -> None:
        await first()
        raise PaymentRefused("no funds yet")

    workflow_env.provider.charging.before += [refused_late, second]
    policy = quick_policy(workflow_env.settings, charge=StepPolicy(attempt_timeout="2s", initial_interval="10ms"))
    handle = await workflow_env.start(workflow_env.order("m-31", review=AUTO, policy=policy))
    await second.reached.wait()
    first.opened.set()
    await workflow_env.until_recorded("m-31", lambda status: status.payment.status is PaymentStatus.FAILED)
    second.opened.set()
    assert (await handle.result()).step is Step.SHIPPED
    assert (workflow_env.provider.charges["pay-m-31"], workflow_env.provider.refunds["pay-m-31"]) == (1, 0)
    assert (await workflow_env.recorded("m-31")).status.payment.status is PaymentStatus.CHARGED


async def test_refusal_that_an_earlier_attempt_recorded_is_voided(workflow_env: WorkflowTestEnv) -> None:
    """The first attempt is refused and its worker doesn't say so; the second asks the provider and never answers."""
    first, second = Gate(), Gate()

    async def refused_late() -> None:
        await first()
        raise PaymentRefused("no funds yet")

    workflow_env.provider.charging.before += [refused_late, second]
    policy = quick_policy(workflow_env.settings, charge=StepPolicy(attempt_timeout="1s", initial_interval="10ms"))
    await workflow_env.start(workflow_env.order("m-32", review=AUTO, policy=policy))
    await second.reached.wait()
    first.opened.set()
    await ends_failed(workflow_env, "m-32")
    second.opened.set()
    assert "pay-m-32" in workflow_env.provider.voided
    assert (await workflow_env.recorded("m-32")).status.payment.status is PaymentStatus.VOIDED
    assert workflow_env.provider.balance("pay-m-32") == 0


async def test_charge_refused_after_an_outage_of_the_store_is_voided(
    temporal_client: Client, postgres_url: str, task_queues
) -> None:
    """The outage uses no attempt, but the attempt before it had charged."""

    class Unavailable(OrderWrites):
        charged = False

        async def finish_payment(self, payment: PaymentIntent, status: PaymentStatus, *args: Any, **more: Any) -> Any:
            if status is PaymentStatus.CHARGED and not Unavailable.charged:
                Unavailable.charged = True
                raise StoreUnavailable("Postgres restarts")
            return await super().finish_payment(payment, status, *args, **more)

    async def works() -> None:
        return

    queues = (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues, record=Unavailable) as workflow_env:
        workflow_env.provider.search_lags = True
        workflow_env.provider.charging.before += [works, fails(PaymentRefused("too often"))]
        await workflow_env.start(workflow_env.order("m-33", review=AUTO))
        assert "too often" in await ends_failed(workflow_env, "m-33")
        assert workflow_env.provider.charges["pay-m-33"] == workflow_env.provider.refunds["pay-m-33"] == 1
        assert (await workflow_env.recorded("m-33")).status.payment.status is PaymentStatus.REFUNDED


def answered_bookings(workflow_env: WorkflowTestEnv) -> list[int]:
    """The shipment's attempt of each booking that the carrier answers from now on, by acceptance or refusal."""
    answers: list[int] = []
    book = workflow_env.carrier.book

    async def counted(key: str, parcel: Parcel) -> Booking:
        try:
            return await book(key, parcel)
        finally:
            answers.append(parcel.attempt)

    workflow_env.carrier.book = counted  # type: ignore[method-assign]
    return answers


async def test_booking_refused_while_an_earlier_attempt_is_in_progress_is_voided(workflow_env: WorkflowTestEnv) -> None:
    first, refused = Gate(), fails(CarrierRefused("address unknown"))
    workflow_env.carrier.booking.before += [first, refused, refused]
    answers = answered_bookings(workflow_env)
    policy = quick_policy(workflow_env.settings, dispatch_carrier=HASTY)
    await workflow_env.start(workflow_env.order("m-34", review=AUTO, policy=policy))
    assert "address unknown" in await ends_failed(workflow_env, "m-34")
    first.opened.set()

    await eventually(lambda: len(answers) == 3)
    assert not workflow_env.carrier.parcels
    assert workflow_env.provider.balance("pay-m-34") == 0


async def test_booking_of_a_failed_shipment_that_arrives_late_is_not_made(workflow_env: WorkflowTestEnv) -> None:
    first, second = Gate(), Gate()
    workflow_env.carrier.booking.before += [first, fails(CarrierRefused("address unknown")), second]
    answers = answered_bookings(workflow_env)
    policy = quick_policy(
        workflow_env.settings, dispatch_carrier=StepPolicy(attempt_timeout="2s", initial_interval="10ms")
    )
    handle = await workflow_env.start(workflow_env.order("m-35", review=AUTO, policy=policy))
    await second.reached.wait()
    first.opened.set()

    async def both_answered() -> bool:
        return answers == [1, 1]

    await eventually(both_answered, bool)
    second.opened.set()
    assert (await handle.result()).step is Step.SHIPPED
    (parcel,) = workflow_env.carrier.parcels["ship-m-35"]
    assert parcel.attempt == 2


async def test_charge_of_voided_payment_is_recorded_as_voided(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.voided.add("pay-m-13")
    await workflow_env.start(workflow_env.order("m-13", review=AUTO))
    await ends_failed(workflow_env, "m-13")
    assert (await workflow_env.recorded("m-13")).status.payment.status is PaymentStatus.VOIDED


async def test_charge_with_rejected_request_is_voided(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.search_lags = True
    workflow_env.provider.charging.after += [
        fails(ProviderUnavailable("answer lost")),
        fails(ProviderRequestRejected("no route")),
    ]
    await workflow_env.start(workflow_env.order("m-11", review=AUTO))
    assert "charge: no route" in await ends_failed(workflow_env, "m-11")

    assert workflow_env.provider.charges["pay-m-11"] == workflow_env.provider.refunds["pay-m-11"] == 1
    status = (await workflow_env.recorded("m-11")).status
    assert (status.payment.status, status.last_error) == (PaymentStatus.REFUNDED, "charge: no route")
    assert status.retries == {"charge": 1}


async def test_provider_that_recovers_charges_once(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.charging.before += [fails(ProviderUnavailable("503"))] * 2
    status = await (await workflow_env.start(workflow_env.order("m-2", review=AUTO))).result()

    assert status.step is Step.SHIPPED
    assert status.retries == {"charge": 2}
    assert workflow_env.provider.charges["pay-m-2"] == 1
    failed = [e.detail for e in await workflow_env.events("m-2") if e.kind == "attempt_failed"]
    assert [(d["activity"], d["attempt"]) for d in failed] == [("charge", 1), ("charge", 2)]
    assert (await workflow_env.recorded("m-2")).status.retries == {"charge": 2}


async def test_charge_without_answer_is_voided_and_refunded(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.charging.after.append(hangs)
    workflow_env.provider.looking_up.before += [hangs] * 2
    policy = quick_policy(workflow_env.settings, charge=HASTY)
    await workflow_env.start(workflow_env.order("m-3", review=AUTO, policy=policy))
    assert "timed out" in await ends_failed(workflow_env, "m-3")

    assert workflow_env.provider.charges["pay-m-3"] == workflow_env.provider.refunds["pay-m-3"] == 1
    assert (await workflow_env.recorded("m-3")).status.payment.status is PaymentStatus.REFUNDED


async def test_charge_with_late_answer_is_made_once(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.charging.after.append(hangs)
    policy = quick_policy(workflow_env.settings, charge=HASTY)
    status = await (await workflow_env.start(workflow_env.order("m-4", review=AUTO, policy=policy))).result()
    assert status.step is Step.SHIPPED
    assert workflow_env.provider.charges["pay-m-4"] == 1


async def test_void_is_retried_until_it_succeeds(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.charging.always = fails(ProviderUnavailable("down"))
    workflow_env.provider.voiding.before += [fails(ProviderUnavailable("still down"))] * 7
    await workflow_env.start(workflow_env.order("m-5", review=AUTO))
    await ends_failed(workflow_env, "m-5")
    assert "pay-m-5" in workflow_env.provider.voided
    assert (await workflow_env.recorded("m-5")).status.payment.status is PaymentStatus.VOIDED


async def test_failed_dispatch_refunds_with_reason(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.always = fails(CarrierRefused("address unknown"))
    await workflow_env.start(workflow_env.order("m-6", review=AUTO))
    assert "address unknown" in await ends_failed(workflow_env, "m-6")

    status = (await workflow_env.recorded("m-6")).status
    assert status.step is Step.FAILED
    assert status.dispatch_failed_reason == "address unknown"
    assert status.payment.status is PaymentStatus.REFUNDED
    assert len(status.shipments) == 2
    assert workflow_env.provider.balance("pay-m-6") == 0
    assert (await workflow_env.kinds("m-6")).count("dispatch_failed") == 2, "once a shipment"


async def test_refund_is_pending_until_it_succeeds(skipping_env: WorkflowTestEnv) -> None:
    skipping_env.provider.refunding.before += [fails(ProviderUnavailable("closed for days"))] * 30
    skipping_env.carrier.booking.always = fails(CarrierRefused("no"))
    handle = await skipping_env.start(skipping_env.order("m-7", review=AUTO))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    refund = skipping_env.temporal.get_workflow_handle("refund-pay-m-7")

    async def refunded() -> bool:
        over = (await refund.describe()).close_time is not None
        return over and skipping_env.provider.balance("pay-m-7") == 0

    await eventually(refunded, bool)
    assert (await skipping_env.recorded("m-7")).status.payment.status is PaymentStatus.REFUNDED


async def test_refused_refund_is_recorded_and_retried(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.refunding.before += [fails(PaymentRefused("account closed"))] * 2
    workflow_env.carrier.booking.always = fails(CarrierRefused("no"))
    await workflow_env.start(workflow_env.order("m-12", review=AUTO))
    await ends_failed(workflow_env, "m-12")
    await workflow_env.until_recorded("m-12", lambda status: status.payment.status is PaymentStatus.REFUNDED)
    failed_attempts = [event.detail for event in await workflow_env.events("m-12") if event.kind == "attempt_failed"]
    assert [(each["activity"], each["error"]) for each in failed_attempts] == [("refund", "account closed")] * 2
    assert workflow_env.provider.balance("pay-m-12") == 0


async def test_payment_id_of_another_order_fails_the_order(workflow_env: WorkflowTestEnv) -> None:
    await workflow_env.start(workflow_env.order("m-8", payment_id="shared"))
    await workflow_env.until_recorded("m-8", lambda status: status.step is Step.MANUAL_REVIEW)
    await workflow_env.start(workflow_env.order("m-9", payment_id="shared"))
    assert "another order" in await ends_failed(workflow_env, "m-9")
    status = (await workflow_env.recorded("m-9")).status
    assert (status.step, status.payment.status) == (Step.FAILED, None)
    assert status.last_error == "receive: payment id 'shared' belongs to another order than 'm-9'; choose another one"
    assert await workflow_env.kinds("m-9") == ["received", "failed"]

    await workflow_env.client.change("m-8", Change.approve())
    assert (await workflow_env.handle("m-8").result()).step is Step.SHIPPED
    assert workflow_env.provider.charges["shared"] == workflow_env.provider.balance("shared") == 1


async def test_lost_booking_answer_books_no_second_parcel(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.carrier.booking.after += [hangs] * 3
    policy = quick_policy(workflow_env.settings, dispatch_carrier=HASTY)
    status = await (await workflow_env.start(workflow_env.order("m-10", review=AUTO, policy=policy))).result()

    assert status.step is Step.SHIPPED
    assert status.shipments[0].tracking_number == "track-ship-m-10"
    assert (await workflow_env.recorded("m-10")).status.shipments == status.shipments
    assert status.dispatch_failed_reason is None
    assert len(workflow_env.carrier.parcels["ship-m-10"]) == 1
    assert workflow_env.provider.balance("pay-m-10") == 1


async def test_cancel_during_void_of_unknown_charge_ends_canceled(workflow_env: WorkflowTestEnv) -> None:
    voiding = Gate()
    workflow_env.provider.charging.always = fails(ProviderUnavailable("503"))
    workflow_env.provider.voiding.before.append(voiding)
    handle = await workflow_env.start(workflow_env.order("m-20", review=AUTO))
    await voiding.reached.wait()
    assert await handle.execute_update("cancel_order", "enough") is None
    voiding.opened.set()
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "enough")
    assert workflow_env.provider.balance("pay-m-20") == 0


async def test_blocked_store_after_slow_provider_uses_no_attempt(
    temporal_client: Client, postgres_url: str, task_queues
) -> None:
    """The provider leaves less time of the attempt than the time-out of the store."""

    class Hanging(OrderWrites):
        finishes = 0

        async def finish_payment(self, *args: Any, **more: Any) -> PaymentStatus:
            Hanging.finishes += 1
            if Hanging.finishes <= 3:
                await hangs()
            return await super().finish_payment(*args, **more)

    async def slowly() -> None:
        await asyncio.sleep(0.4)

    queues = (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues, record=Hanging) as workflow_env:
        workflow_env.provider.charging.before += [slowly] * 3
        policy = quick_policy(workflow_env.settings, charge=StepPolicy(attempt_timeout="1s", attempts=1))
        status = await (await workflow_env.start(workflow_env.order("m-21", review=AUTO, policy=policy))).result()
        assert status.step is Step.SHIPPED
        assert "charge" not in status.retries
        assert workflow_env.provider.charges["pay-m-21"] == 1
        assert Hanging.finishes == 4


async def test_blocked_attempt_is_shown_in_live_status(workflow_env: WorkflowTestEnv) -> None:
    """A blocked attempt can't record itself; Temporal's description of pending activities shows it."""
    workflow_env.provider.charging.before += [hangs] * 2
    late = Gate()
    workflow_env.provider.charging.before.append(late)
    policy = quick_policy(workflow_env.settings, charge=StepPolicy(attempt_timeout="500ms", initial_interval="10ms"))
    handle = await workflow_env.start(workflow_env.order("m-22", review=AUTO, policy=policy))
    status = await workflow_env.until("m-22", lambda status: status.retries.get("charge") == 2)
    assert status.step is Step.CHARGE
    assert "timeout" in (status.last_error or "").lower()
    assert (status.last_error or "").startswith("charge: ")
    late.opened.set()
    await handle.result()


async def test_blocked_shipment_is_shown_in_live_status(workflow_env: WorkflowTestEnv) -> None:
    late = Gate()
    workflow_env.carrier.booking.before += [hangs, late]
    policy = quick_policy(workflow_env.settings, dispatch_carrier=HASTY)
    handle = await workflow_env.start(workflow_env.order("m-23", review=AUTO, policy=policy))
    status = await workflow_env.until("m-23", lambda status: bool(status.retries))
    assert status.retries == {"dispatch_carrier": 1}
    pending = await workflow_env.client.pending("m-23")
    assert [(one.workflow_id, one.activity, one.attempt) for one in pending] == [
        ("shipping-m-23-1", "dispatch_carrier", 2)
    ]
    late.opened.set()
    await handle.result()
