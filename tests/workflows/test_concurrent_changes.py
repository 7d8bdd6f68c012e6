"""Several changes in one workflow task: each is accepted or rejected, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from orderfleet.domain.order import Review, ReviewTimeoutAction
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import ShipmentAnswer
from orderfleet.domain.status import ShipmentStatus, Step
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change
from orderfleet.store.writes import OrderWrites
from support.factories import ADDRESS, AUTO, ELSEWHERE, quick_policy
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv
from workflows.pausable_workers import PausableWorkers, has, pausable_workers, task_with

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
TIMER = EventType.EVENT_TYPE_TIMER_FIRED
ACTIVITY = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED


class GatedStore(OrderWrites):
    """An order store that waits for a gate before it records a shipment."""

    shipment: Gate

    async def record_shipment(self, *args: Any, **options: Any) -> None:
        # The local attempt times out after a second; tests wait for the regular one that follows.
        await (self.shipment.opened.wait() if activity.info().is_local else self.shipment())
        await super().record_shipment(*args, **options)


@pytest.fixture
def preparing() -> Gate:
    """A gate before the write of a prepared package; open unless a test closes it."""
    gate = Gate()
    gate.opened.set()
    return gate


@pytest.fixture
async def pausable(
    temporal_client: Client, postgres_url: str, task_queues, preparing: Gate
) -> AsyncIterator[PausableWorkers]:
    def record(database: Any) -> GatedStore:
        made = GatedStore(database)
        made.shipment = preparing
        return made

    async with pausable_workers(
        temporal_client, postgres_url, task_queues.orders, task_queues.shipping, record=record
    ) as made:
        yield made


def long_attempts(env: WorkflowTestEnv) -> Any:
    """A policy whose attempts are longer than a test holds them."""
    long = StepPolicy(attempt_timeout="60s", initial_interval="10ms")
    return quick_policy(env.settings, prepare_package=long, dispatch_carrier=long)


def shipped_to(env: WorkflowTestEnv, order_id: str) -> list:
    return [parcel.address for parcel in env.carrier.parcels.get(f"ship-{order_id}", [])]


async def paused_in_review(pausable: PausableWorkers, order_id: str, **changes: Any) -> Any:
    """An order in review whose workflow is paused."""
    handle = await pausable.env.start(pausable.env.order(order_id, **changes))
    await pausable.env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    await pausable.pause(pausable.env.settings.orders_task_queue)
    return handle


async def test_approval_addresses_and_carrier_update_in_one_task_are_all_accepted(pausable: PausableWorkers) -> None:
    env = pausable.env
    handle = await paused_in_review(pausable, "t-1")
    await handle.signal("update_address", ADDRESS.model_copy(update={"street": "3 Mid St"}))
    await handle.signal("approve")
    await handle.signal("update_address", ELSEWHERE)
    await handle.signal("carrier_update", {"shipment_id": "shipping-t-1-1", "status": "dispatched"})
    await pausable.resume(env.settings.orders_task_queue)
    status = await handle.result()
    assert (status.step, status.approved, status.address) == (Step.SHIPPED, True, ELSEWHERE)
    assert shipped_to(env, "t-1") == [ELSEWHERE]


async def test_approval_after_cancel_in_one_task_is_rejected_and_recorded(pausable: PausableWorkers) -> None:
    handle = await paused_in_review(pausable, "t-2")
    await handle.signal("cancel_order", "no")
    await handle.signal("approve")
    await handle.signal("update_address", ELSEWHERE)
    await pausable.resume(pausable.env.settings.orders_task_queue)
    status = await handle.result()
    assert (status.step, status.approved, status.address) == (Step.CANCELED, False, ADDRESS)
    rejected = [e.detail["change"] for e in await pausable.env.events("t-2") if e.kind == "change_rejected"]
    assert rejected == ["approve", "address"]
    assert not pausable.env.provider.charges


@pytest.mark.parametrize("change", ["approve", "cancel_payment", "cancel_order"])
async def test_changes_before_first_step_are_all_applied(pausable: PausableWorkers, change: str) -> None:
    """No worker runs yet, so one workflow task has the start and all changes."""
    env, order_id = pausable.env, f"t-3-{change}"
    await pausable.pause(env.settings.orders_task_queue)
    handle = await env.start(env.order(order_id))
    await handle.signal("update_address", ELSEWHERE)
    await handle.signal(change)
    await pausable.resume(env.settings.orders_task_queue)
    status = await handle.result()
    accepted = change == "approve"
    assert status.step is (Step.SHIPPED if accepted else Step.CANCELED)
    assert env.provider.balance(f"pay-{order_id}") == (1 if accepted else 0)
    assert (await env.recorded(order_id)).status.address == ELSEWHERE


@pytest.mark.parametrize("way", ["signal", "update"])
@pytest.mark.parametrize(
    ("on_timeout", "change", "end"),
    [
        (ReviewTimeoutAction.CANCEL, "approve", Step.SHIPPED),
        (ReviewTimeoutAction.APPROVE, "cancel_order", Step.CANCELED),
    ],
)
async def test_change_in_one_task_with_review_timer_takes_precedence(
    pausable: PausableWorkers, way: str, on_timeout: ReviewTimeoutAction, change: str, end: Step
) -> None:
    order_id = f"t-4-{way}-{change}"
    queue = pausable.env.settings.orders_task_queue
    handle = await paused_in_review(pausable, order_id, review=Review(timeout="1s", on_timeout=on_timeout))
    update = None
    if way == "signal":
        await handle.signal(change)
    else:
        update = asyncio.create_task(handle.execute_update(change))
    await has(handle, TIMER)
    await pausable.resume(queue)
    if update is not None:
        await update  # it was accepted
    status = await handle.result()
    assert status.step is end
    assert "review_timed_out" not in await pausable.env.kinds(order_id)
    if way == "signal":
        assert await task_with(handle, SIGNALED, TIMER)
    assert pausable.env.provider.balance(f"pay-{order_id}") == (1 if end is Step.SHIPPED else 0)


async def test_address_during_prepare_package_is_used(pausable: PausableWorkers, preparing: Gate) -> None:
    preparing.opened.clear()
    env = pausable.env
    handle = await env.start(env.order("t-5", review=AUTO, policy=long_attempts(env)))
    await preparing.reached.wait()
    assert await env.client.change("t-5", Change.update_address(ELSEWHERE)) is ChangeResult.ACCEPTED
    preparing.opened.set()
    assert (await handle.result()).address == ELSEWHERE
    assert shipped_to(env, "t-5") == [ELSEWHERE]


async def test_address_between_prepare_and_dispatch_is_used(pausable: PausableWorkers, preparing: Gate) -> None:
    """The shipment receives it in one workflow task with the completion of `prepare_package`."""
    preparing.opened.clear()
    env = pausable.env
    handle = await env.start(env.order("t-6", review=AUTO, policy=long_attempts(env)))
    await preparing.reached.wait()
    await pausable.pause(env.settings.shipping_task_queue)
    await handle.signal("update_address", ELSEWHERE)
    shipment = env.temporal.get_workflow_handle("shipping-t-6-1")
    await has(shipment, SIGNALED)
    preparing.opened.set()
    await has(shipment, ACTIVITY)
    await pausable.resume(env.settings.shipping_task_queue)
    assert (await handle.result()).address == ELSEWHERE
    assert shipped_to(env, "t-6") == [ELSEWHERE]
    assert await task_with(shipment, SIGNALED, ACTIVITY)
    assert (await env.recorded("t-6")).status.address == ELSEWHERE


@pytest.mark.slow
async def test_cancel_between_prepare_and_dispatch_cancels(pausable: PausableWorkers, preparing: Gate) -> None:
    preparing.opened.clear()
    env = pausable.env
    handle = await env.start(env.order("t-7", review=AUTO, policy=long_attempts(env)))
    await preparing.reached.wait()
    await pausable.pause(env.settings.shipping_task_queue)
    await handle.signal("cancel_order", "no")
    shipment = env.temporal.get_workflow_handle("shipping-t-7-1")
    await has(shipment, SIGNALED)
    preparing.opened.set()
    await has(shipment, ACTIVITY)
    await pausable.resume(env.settings.shipping_task_queue)
    status = await handle.result()
    assert (status.step, status.shipments[0].status) == (Step.CANCELED, ShipmentStatus.CANCELED)
    assert not env.carrier.parcels
    assert env.provider.balance("pay-t-7") == 0


async def test_address_rejected_while_order_is_paused_is_recorded_as_rejected(pausable: PausableWorkers) -> None:
    """The order receives the rejection and the shipment's result in one task, and shows the address that was used."""
    booking = Gate()
    env = pausable.env
    env.carrier.booking.before.append(booking)
    handle = await env.start(env.order("t-8", review=AUTO, policy=long_attempts(env)))
    await booking.reached.wait()
    shipment = env.temporal.get_workflow_handle("shipping-t-8-1")
    await handle.signal("update_address", ELSEWHERE)
    await has(shipment, SIGNALED)
    await pausable.pause(env.settings.orders_task_queue)
    booking.opened.set()
    await shipment.result()
    await pausable.resume(env.settings.orders_task_queue)
    assert (await handle.result()).address == ADDRESS
    assert shipped_to(env, "t-8") == [ADDRESS]
    assert "change_rejected" in await env.kinds("t-8")


async def test_unrequested_answer_changes_nothing(pausable: PausableWorkers) -> None:
    booking = Gate()
    env = pausable.env
    env.carrier.booking.before.append(booking)
    handle = await env.start(env.order("t-9", review=AUTO, policy=long_attempts(env)))
    await booking.reached.wait()
    await handle.signal("shipment_answer", ShipmentAnswer(shipment_id="shipping-t-9-1", request=99, accepted=True))
    booking.opened.set()
    assert (await handle.result()).step is Step.SHIPPED
