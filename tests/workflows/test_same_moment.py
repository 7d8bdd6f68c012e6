"""Several things that reach a workflow in one workflow task: each is taken or refused, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fleet import ADDRESS, ELSEWHERE, Fleet, Gate, quick_policy
from halves import Halves, halves, has, task_with
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from orderfleet.domain.order import Review, ReviewMode, ReviewTimeoutAction
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import ShipmentAnswer
from orderfleet.domain.status import ShipmentStatus, Step
from orderfleet.services.errors import ChangeResult
from orderfleet.store.writes import OrderRecord

AUTO = Review(mode=ReviewMode.AUTO)
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
TIMER = EventType.EVENT_TYPE_TIMER_FIRED
ACTIVITY = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED


class HeldRecord(OrderRecord):
    """A record that waits before it notes a shipment, if the test wants it to."""

    shipment: Gate

    async def record_shipment(self, *args: Any, **options: Any) -> None:
        # The local attempt gives up after a second; the regular one after it is what a test waits for.
        await (self.shipment.opened.wait() if activity.info().is_local else self.shipment())
        await super().record_shipment(*args, **options)


@pytest.fixture
def preparing() -> Gate:
    """Opened, no package waits while it is prepared."""
    gate = Gate()
    gate.opened.set()
    return gate


@pytest.fixture
async def held(temporal_client: Client, postgres_url: str, task_queues, preparing: Gate) -> AsyncIterator[Halves]:
    def record(database: Any) -> HeldRecord:
        made = HeldRecord(database)
        made.shipment = preparing
        return made

    async with halves(temporal_client, postgres_url, task_queues.orders, task_queues.shipping, record=record) as made:
        yield made


def patient(fleet: Fleet) -> Any:
    """Attempts long enough for what a test does meanwhile."""
    long = StepPolicy(attempt_timeout="60s", initial_interval="10ms")
    return quick_policy(fleet.settings, prepare_package=long, dispatch_carrier=long)


def went_to(fleet: Fleet, order_id: str) -> list:
    return [parcel.address for parcel in fleet.carrier.parcels.get(f"ship-{order_id}", [])]


async def reviewed(held: Halves, order_id: str, **changes: Any) -> Any:
    """An order in review whose workflow goes no further for now."""
    handle = await held.fleet.start(held.fleet.order(order_id, **changes))
    await held.fleet.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    await held.hold_up(held.fleet.settings.orders_task_queue)
    return handle


async def test_approval_addresses_and_carriers_word_are_all_taken(held: Halves) -> None:
    fleet = held.fleet
    handle = await reviewed(held, "t-1")
    await handle.signal("update_address", ADDRESS.model_copy(update={"street": "3 Mid St"}))
    await handle.signal("approve")
    await handle.signal("update_address", ELSEWHERE)
    await handle.signal("carrier_update", {"shipment_id": "shipping-t-1-1", "status": "dispatched"})
    await held.go_on(fleet.settings.orders_task_queue)
    status = await handle.result()
    assert (status.step, status.approved, status.address) == (Step.SHIPPED, True, ELSEWHERE)
    assert went_to(fleet, "t-1") == [ELSEWHERE]


async def test_an_approval_after_a_cancel_is_refused_and_told(held: Halves) -> None:
    handle = await reviewed(held, "t-2")
    await handle.signal("cancel_order", "no")
    await handle.signal("approve")
    await handle.signal("update_address", ELSEWHERE)
    await held.go_on(held.fleet.settings.orders_task_queue)
    status = await handle.result()
    assert (status.step, status.approved, status.address) == (Step.CANCELED, False, ADDRESS)
    refused = [e.detail["change"] for e in await held.fleet.events("t-2") if e.kind == "change_refused"]
    assert refused == ["approve", "address"]
    assert not held.fleet.provider.charges


@pytest.mark.parametrize("change", ["approve", "cancel_payment", "cancel_order"])
async def test_everything_before_the_first_step(held: Halves, change: str) -> None:
    """No worker runs yet: the order is received and decided upon in one workflow task."""
    fleet, order_id = held.fleet, f"t-3-{change}"
    await held.hold_up(fleet.settings.orders_task_queue)
    handle = await fleet.start(fleet.order(order_id))
    await handle.signal("update_address", ELSEWHERE)
    await handle.signal(change)
    await held.go_on(fleet.settings.orders_task_queue)
    status = await handle.result()
    taken = change == "approve"
    assert status.step is (Step.SHIPPED if taken else Step.CANCELED)
    assert fleet.provider.balance(f"pay-{order_id}") == (1 if taken else 0)
    assert (await fleet.recorded(order_id)).status.address == ELSEWHERE


@pytest.mark.parametrize("way", ["signal", "update"])
@pytest.mark.parametrize(
    ("on_timeout", "change", "end"),
    [
        (ReviewTimeoutAction.CANCEL, "approve", Step.SHIPPED),
        (ReviewTimeoutAction.APPROVE, "cancel_order", Step.CANCELED),
    ],
)
async def test_what_comes_with_the_review_timer_wins_over_it(
    held: Halves, way: str, on_timeout: ReviewTimeoutAction, change: str, end: Step
) -> None:
    order_id = f"t-4-{way}-{change}"
    queue = held.fleet.settings.orders_task_queue
    handle = await reviewed(held, order_id, review=Review(timeout="1s", on_timeout=on_timeout))
    asked = None
    if way == "signal":
        await handle.signal(change)
    else:
        asked = asyncio.create_task(handle.execute_update(change))
    await has(handle, TIMER)
    await held.go_on(queue)
    if asked is not None:
        await asked  # it was taken
    status = await handle.result()
    assert status.step is end
    assert "review_timed_out" not in await held.fleet.kinds(order_id)
    if way == "signal":
        assert await task_with(handle, SIGNALED, TIMER)
    assert held.fleet.provider.balance(f"pay-{order_id}") == (1 if end is Step.SHIPPED else 0)


async def test_an_address_while_the_package_is_prepared_is_where_it_goes(held: Halves, preparing: Gate) -> None:
    preparing.opened.clear()
    fleet = held.fleet
    handle = await fleet.start(fleet.order("t-5", review=AUTO, policy=patient(fleet)))
    await preparing.reached.wait()
    assert await fleet.client.update_address("t-5", ELSEWHERE) is ChangeResult.ACCEPTED
    preparing.opened.set()
    assert (await handle.result()).address == ELSEWHERE
    assert went_to(fleet, "t-5") == [ELSEWHERE]


async def test_an_address_in_the_moment_between_prepare_and_dispatch(held: Halves, preparing: Gate) -> None:
    """The shipment learns of it together with the end of `prepare_package`."""
    preparing.opened.clear()
    fleet = held.fleet
    handle = await fleet.start(fleet.order("t-6", review=AUTO, policy=patient(fleet)))
    await preparing.reached.wait()
    await held.hold_up(fleet.settings.shipping_task_queue)
    await handle.signal("update_address", ELSEWHERE)
    shipment = fleet.temporal.get_workflow_handle("shipping-t-6-1")
    await has(shipment, SIGNALED)
    preparing.opened.set()
    await has(shipment, ACTIVITY)
    await held.go_on(fleet.settings.shipping_task_queue)
    assert (await handle.result()).address == ELSEWHERE
    assert went_to(fleet, "t-6") == [ELSEWHERE]
    assert await task_with(shipment, SIGNALED, ACTIVITY)
    assert (await fleet.recorded("t-6")).status.address == ELSEWHERE


async def test_a_cancel_in_the_moment_between_prepare_and_dispatch(held: Halves, preparing: Gate) -> None:
    preparing.opened.clear()
    fleet = held.fleet
    handle = await fleet.start(fleet.order("t-7", review=AUTO, policy=patient(fleet)))
    await preparing.reached.wait()
    await held.hold_up(fleet.settings.shipping_task_queue)
    await handle.signal("cancel_order", "no")
    shipment = fleet.temporal.get_workflow_handle("shipping-t-7-1")
    await has(shipment, SIGNALED)
    preparing.opened.set()
    await has(shipment, ACTIVITY)
    await held.go_on(fleet.settings.shipping_task_queue)
    status = await handle.result()
    assert (status.step, status.shipments[0].status) == (Step.CANCELED, ShipmentStatus.CANCELED)
    assert not fleet.carrier.parcels
    assert fleet.provider.balance("pay-t-7") == 0


async def test_an_address_that_the_shipment_answers_as_the_order_is_held_up(held: Halves) -> None:
    """The refusal and the shipment's end reach the order together: the order shows where the package went."""
    booking = Gate()
    fleet = held.fleet
    fleet.carrier.booking.before.append(booking)
    handle = await fleet.start(fleet.order("t-8", review=AUTO, policy=patient(fleet)))
    await booking.reached.wait()
    shipment = fleet.temporal.get_workflow_handle("shipping-t-8-1")
    await handle.signal("update_address", ELSEWHERE)
    await has(shipment, SIGNALED)
    await held.hold_up(fleet.settings.orders_task_queue)
    booking.opened.set()
    await shipment.result()
    await held.go_on(fleet.settings.orders_task_queue)
    assert (await handle.result()).address == ADDRESS
    assert went_to(fleet, "t-8") == [ADDRESS]
    assert "change_refused" in await fleet.kinds("t-8")


async def test_an_answer_that_nobody_waits_for_changes_nothing(held: Halves) -> None:
    booking = Gate()
    fleet = held.fleet
    fleet.carrier.booking.before.append(booking)
    handle = await fleet.start(fleet.order("t-9", review=AUTO, policy=patient(fleet)))
    await booking.reached.wait()
    await handle.signal("shipment_answer", ShipmentAnswer(shipment_id="shipping-t-9-1", request=99, taken=True))
    booking.opened.set()
    assert (await handle.result()).step is Step.SHIPPED
