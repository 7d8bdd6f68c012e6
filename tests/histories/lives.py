"""The scenarios whose histories are recorded for each shape.

`record.py` runs them with all workers and a real server. Each waits on conditions between its actions, so that two
recordings of the same code have the same commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from orderfleet.domain import names
from orderfleet.domain.errors import (
    CarrierRefused,
    CarrierUnavailable,
    PaymentRefused,
    ProviderUnavailable,
    StoreUnavailable,
)
from orderfleet.domain.order import Delivery, Review, ReviewMode, ReviewTimeoutAction, SpecUpdate
from orderfleet.domain.orphans import OrphanSweep
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus, ShipmentStatus, Step
from orderfleet.services.errors import OrderChangeRejected
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, ELSEWHERE, quick_policy
from support.polling import eventually
from support.scripted_providers import Behavior, Gate, fails, hangs
from support.workflow_env import WorkflowTestEnv

AUTO = Review(mode=ReviewMode.AUTO)
HASTY = StepPolicy(attempt_timeout="300ms", attempts=2, initial_interval="10ms")

Life = Callable[[WorkflowTestEnv, str], Awaitable[None]]
LIVES: dict[str, Life] = {}
"""By name, which is also the order's id."""


def life(play: Life) -> Life:
    """Register a life under its function's name."""
    LIVES[play.__name__.replace("_", "-")] = play
    return play


async def ends(handle: WorkflowHandle[Any, OrderStatus]) -> None:
    """Wait for the end of an order, which may fail."""
    with suppress(WorkflowFailureError):
        await handle.result()


async def refunded(fleet: WorkflowTestEnv, order_id: str) -> None:
    """Wait for the end of the refund's workflow, if there is one."""
    with suppress(RPCError):
        await fleet.temporal.get_workflow_handle(names.refund_workflow_id(names.default_payment_id(order_id))).result()


async def _reviewed(fleet: WorkflowTestEnv, order_id: str, **changes: Any) -> WorkflowHandle[Any, OrderStatus]:
    """Start an order and wait until its status is manual review."""
    handle = await fleet.start(fleet.order(order_id, **changes))
    await fleet.until(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    return handle


async def while_gated(
    gate: Gate, fleet: WorkflowTestEnv, order_id: str, do: Callable[[WorkflowHandle], Awaitable[Any]], **changes: Any
) -> None:
    """Start an order and do something while its gate holds it."""
    handle = await fleet.start(fleet.order(order_id, review=AUTO, **changes))
    await gate.reached.wait()
    with suppress(OrderChangeRejected):
        await do(handle)
    gate.opened.set()
    await ends(handle)
    await refunded(fleet, order_id)


@life
async def shipped(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))


@life
async def reviewed(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id)
    await fleet.client.change(order_id, Change.approve())
    await ends(handle)


@life
async def approved_by_signal(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id)
    await handle.signal("approve_order")
    await ends(handle)


@life
async def declared(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id, generation=1)
    await fleet.client.apply_spec(order_id, SpecUpdate(generation=2, approved=True, address=ELSEWHERE))
    await ends(handle)


@life
async def review_timed_out(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await _reviewed(fleet, order_id, review=Review(timeout=timedelta(seconds=2))))


@life
async def approved_by_time(fleet: WorkflowTestEnv, order_id: str) -> None:
    review = Review(timeout=timedelta(seconds=2), on_timeout=ReviewTimeoutAction.APPROVE)
    await ends(await _reviewed(fleet, order_id, review=review))


@life
async def wrong(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO, address=ADDRESS.model_copy(update={"city": ""}))))


@life
async def canceled_in_review(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id)
    await fleet.client.change(order_id, Change.cancel("changed my mind"))
    await ends(handle)


@life
async def canceled_after_the_charge(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.charging.after.append(gate)
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.cancel("too dear")))


@life
async def canceled_in_temporal(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.charging.after.append(gate)

    async def cancel(handle: WorkflowHandle) -> None:
        await handle.cancel()
        await fleet.client.status(order_id)  # The answering workflow task has the cancel.

    await while_gated(gate, fleet, order_id, cancel)


@life
async def canceled_while_dispatched(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.carrier.booking.before.append(gate)
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.cancel("just in time")))


@life
async def canceled_too_late(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.carrier.booking.after.append(gate)
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.cancel("too late")))


@life
async def deadline_passed(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await _reviewed(fleet, order_id, deadline=timedelta(seconds=2)))


@life
async def address_changed_in_review(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id)
    await fleet.client.change(order_id, Change.update_address(ELSEWHERE))
    await fleet.until_recorded(order_id, lambda status: status.address == ELSEWHERE)
    await fleet.client.change(order_id, Change.approve())
    await ends(handle)


@life
async def address_changed_during_the_charge(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.charging.before.append(gate)
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.update_address(ELSEWHERE)))


@life
async def address_changed_too_late(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.carrier.booking.before.append(gate)
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.update_address(ELSEWHERE)))


@life
async def dispatch_failed_once(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.carrier.booking.before.append(fails(CarrierRefused("van is full")))
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))


@life
async def dispatch_failed(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.carrier.booking.before += [fails(CarrierUnavailable("closed"))] * 3 + [fails(CarrierRefused("no vans"))]
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    await refunded(fleet, order_id)


@life
async def dispatch_answer_lost(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.carrier.booking.after += [hangs] * 2
    policy = quick_policy(fleet.settings, dispatch_carrier=HASTY)
    await ends(await fleet.start(fleet.order(order_id, review=AUTO, policy=policy)))


@life
async def charge_refused(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.provider.charging.before.append(fails(PaymentRefused("card expired")))
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))


@life
async def charge_unknown(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.provider.charging.after += [hangs] * 2
    policy = quick_policy(fleet.settings, charge=HASTY)
    await ends(await fleet.start(fleet.order(order_id, review=AUTO, policy=policy)))


@life
async def refund_delayed(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.charging.after.append(gate)
    # More than the attempts of a round, so the refund waits on a timer.
    fleet.provider.refunding.before += [fails(ProviderUnavailable("come back later"))] * 4
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, Change.cancel("too dear")))


@life
async def store_away(fleet: WorkflowTestEnv, order_id: str) -> None:
    away: list[Behavior] = [fails(StoreUnavailable("Postgres is unavailable"))]
    fleet.provider.charging.before += away
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))


@life
async def continued_as_new(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _reviewed(fleet, order_id, policy=quick_policy(fleet.settings, changes_per_run=2))
    for street in ("1 Long St", "2 Long St"):
        await fleet.client.change(order_id, Change.update_address(ADDRESS.model_copy(update={"street": street})))
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)
    await fleet.client.change(order_id, Change.approve())
    await ends(handle)


@life
async def delivered(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await fleet.start(fleet.order(order_id, review=AUTO, delivery=Delivery(confirm=True)))
    await fleet.until_recorded(order_id, lambda status: status.step is Step.SHIPPED)
    shipment = names.shipment_id(order_id, 1)
    await handle.signal("carrier_update", CarrierUpdate(shipment_id=shipment, status=ShipmentStatus.DELIVERED))
    await ends(handle)


@life
async def ended_from_outside(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.charging.after.append(gate)
    handle = await fleet.start(fleet.order(order_id, review=AUTO))
    await gate.reached.wait()
    await handle.terminate()
    sweep: WorkflowHandle[Any, Any] = await fleet.temporal.start_workflow(
        names.ORPHAN_SWEEP_WORKFLOW,
        OrphanSweep(policy=fleet.order(order_id).policy, idle=timedelta(0)),
        id=f"{names.ORPHAN_SWEEP}-{order_id}",
        task_queue=fleet.settings.orders_task_queue,
    )
    await asyncio.wait_for(sweep.result(), 60)
    await fleet.until_recorded(order_id, lambda status: status.ended)
    gate.opened.set()
    await asyncio.wait_for(fleet.temporal.get_workflow_handle(names.compensation_workflow_id(order_id)).result(), 60)
