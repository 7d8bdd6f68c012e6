"""A hypothesis state machine: one order, and everything that clients, providers, the store and the clock do to it, in
any order. `lifecycle_model` says which outcomes are correct.

What the time-skipping server can't do is left to `restarting_order_machine` (deploy/docs/testing.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from model.failure_scripts import script_failures
from model.lifecycle_model import Expected, reachable
from model.order_environment import OrderEnvironment
from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable, PaymentRefused, ProviderUnavailable
from orderfleet.domain.order import Address, Delivery, Review, ReviewMode, ReviewTimeoutAction, SpecUpdate
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import CarrierUpdate, DispatchFailed
from orderfleet.domain.status import OrderStatus, ShipmentStatus
from orderfleet.services.errors import TemporalUnavailable
from support.factories import ADDRESS, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate
from support.unreliable_store import ANY

T = TypeVar("T")

STREETS = ["2 Side St", "3 Back St", "4 Far St"]
ATTEMPTS = 3
SLOW_STEP = StepPolicy(attempt_timeout="30s", initial_interval="10ms", maximum_interval="20ms", attempts=ATTEMPTS)
"""No attempt times out on a busy machine: only scripted failures fail it."""
WAITING = {"manual_review", "shipped", "delivered", "canceled", "failed"}
"""Steps at which an order continues only after a request or a timeout."""

failures = st.lists(st.sampled_from(["unavailable", "response lost", "rejected"]), max_size=ATTEMPTS + 1)
"""A rejection may follow an attempt that did its work and lost its response."""


class OrderMachine(RuleBasedStateMachine):
    """One order. The test that runs the machine sets the environment and its event loop."""

    order_env: OrderEnvironment
    loop: asyncio.AbstractEventLoop
    broken = False
    """Whether a rule raised; then the order's end is not checked."""

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the environment's event loop."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=120)
        except BaseException:
            self.broken = True
            raise

    @initialize(
        manual=st.booleans(),
        then=st.sampled_from(ReviewTimeoutAction),
        approved=st.booleans(),
        confirm=st.booleans(),
        reviewing=st.sampled_from([10, 40]),
        deadline=st.sampled_from([None, None, 30]),
        charging=failures,
        booking=failures,
        refund_failures=st.integers(0, 4),
        gated=st.sampled_from([None, None, "charge", "book", "void"]),
        changes_per_run=st.sampled_from([1000, 2]),
    )
    def begin(
        self,
        manual,
        then,
        approved,
        confirm,
        reviewing,
        deadline,
        charging,
        booking,
        refund_failures,
        gated,
        changes_per_run,
    ) -> None:
        order_env = self.order_env
        order_env.outage.unavailable.clear()
        order_env.outage.lost.clear()
        self.order_id = order_env.name_order()
        if gated == "book" and order_env.skips_time:
            gated = None
        self.gate, self.gated = Gate(), gated is not None
        self.generation = 0
        self.last_step = "receive"
        self.updates: list[asyncio.Task[None]] = []
        provider, carrier = order_env.provider, order_env.carrier
        unavailable, rejected = ProviderUnavailable("503"), PaymentRefused("card expired")
        script_failures(provider.charging, charging, unavailable, rejected, self.gate if gated == "charge" else None)
        script_failures(provider.refunding, ["unavailable"] * refund_failures, unavailable, rejected, None)
        script_failures(provider.voiding, ["unavailable"] * refund_failures, unavailable, rejected, None)
        busy, rejecting = CarrierUnavailable("busy"), CarrierRefused("no van")
        script_failures(carrier.booking, booking, busy, rejecting, self.gate if gated == "book" else None)
        script_failures(
            carrier.voiding,
            ["unavailable"] * refund_failures,
            busy,
            rejecting,
            self.gate if gated == "void" else None,
        )
        self.failures = max(len(charging), len(booking))
        self.model = Expected(
            needs_approval=manual and not approved,
            timeout_approves=then is ReviewTimeoutAction.APPROVE,
            confirms=confirm,
            address={ADDRESS.street},
            cancel_possible=deadline is not None,
            may_fail="rejected" in charging + booking or self.failures >= ATTEMPTS,
        )
        policy = quick_policy(
            order_env.env.settings,
            charge=SLOW_STEP,
            prepare_package=SLOW_STEP,
            dispatch_carrier=SLOW_STEP,
            refund=SLOW_STEP,
            **({"changes_per_run": changes_per_run} if order_env.continues_as_new else {}),
        )
        order = order_env.env.order(
            self.order_id,
            policy=policy,
            approved=approved,
            review=Review(
                mode=ReviewMode.MANUAL if manual else ReviewMode.AUTO,
                timeout=order_env.order_hour * reviewing,
                on_timeout=then,
            ),
            deadline=order_env.order_hour * deadline if deadline else None,
            delivery=Delivery(confirm=confirm, timeout=order_env.order_hour * 40),
        )
        self.handle: WorkflowHandle[Any, OrderStatus] = self.do(order_env.env.start(order))

    @rule(by_update=st.booleans())
    def approve(self, by_update) -> None:
        accepted = self.request("approve", [], by_update)
        # On a real clock, a signal may arrive just after the timeout.
        if accepted is True and (by_update or self.order_env.skips_time) and not self.model.cancel_possible:
            self.model.approved = True
        elif accepted is not False:
            self.model.approval_possible = True

    @rule(by_update=st.booleans(), change=st.sampled_from(["cancel_order", "cancel_payment"]))
    def cancel(self, by_update, change) -> None:
        accepted = self.request(change, ["enough"], by_update)
        if accepted is True and by_update:
            self.model.cancel_accepted = True
        elif accepted is not False:
            self.model.cancel_possible = True

    @rule()
    def cancel_in_temporal(self) -> None:
        self.model.cancel_possible = True
        self.do(unless_closed(self.handle.cancel()))

    @rule(by_update=st.booleans(), street=st.sampled_from(STREETS))
    def change_address(self, by_update, street) -> None:
        accepted = self.request("update_address", [address_at(street)], by_update)
        if accepted is True and by_update:
            self.model.address = {street}
        elif accepted is not False:
            self.model.address.add(street)

    @rule(approved=st.booleans(), cancel=st.booleans(), street=st.sampled_from([None, *STREETS]), again=st.booleans())
    def declare(self, approved, cancel, street, again) -> None:
        repeat = again and self.generation > 0
        self.generation += not repeat
        declared = SpecUpdate(
            generation=self.generation,
            owner_uid="uid",
            approved=approved,
            cancel=cancel,
            address=address_at(street) if street else None,
        )
        if self.do(unless_closed(self.handle.signal("apply_spec", declared))) and not repeat:
            self.model.cancel_possible |= cancel
            self.model.approval_possible |= approved
            self.model.address |= {street} if street else set()

    @rule(shipment=st.sampled_from([1, 2, 9]), status=st.sampled_from(["dispatched", "delivered"]))
    def carrier_reports(self, shipment, status) -> None:
        update = CarrierUpdate(shipment_id=f"shipping-{self.order_id}-{shipment}", status=ShipmentStatus(status))
        self.do(unless_closed(self.handle.signal("carrier_update", update)))
        self.model.carrier_confirmed |= status == "delivered"

    @rule(shipment=st.sampled_from([1, 9]))
    def shipment_repeats_failure(self, shipment) -> None:
        repeated = DispatchFailed(shipment_id=f"shipping-{self.order_id}-{shipment}", reason="sent twice")
        self.do(unless_closed(self.handle.signal("dispatch_failed", repeated)))

    @rule(change=st.sampled_from(["update_address", "apply_spec", "carrier_update"]))
    def garbage(self, change) -> None:
        self.do(unless_closed(self.handle.signal(change, ["garbage"])))

    @rule(before=st.integers(0, 4), after=st.integers(0, 3))
    def store_fails(self, before, after) -> None:
        self.order_env.outage.unavailable[ANY] += before
        self.order_env.outage.lost[ANY] += after

    @precondition(lambda self: self.gated)
    @rule()
    def opens_gate(self) -> None:
        self.do(self.open_gate())

    @precondition(lambda self: not self.gated)
    @rule(hours=st.sampled_from([1, 11, 50]))
    def time_passes(self, hours) -> None:
        """Only while no attempt is in progress: a clock that skips would time it out."""
        self.do(self.until_it_waits())
        self.do(self.order_env.pass_time(self.order_env.order_hour * hours))

    @invariant()
    def step_follows_transitions(self) -> None:
        step = str(self.do(self.live()).step)
        assert reachable(self.last_step, step), f"from {self.last_step} to {step}"
        self.last_step = step

    def request(self, change: str, args: list[Any], by_update: bool) -> bool | None:
        """Request a change by update or by signal.

        Returns:
            Whether it was accepted; None if that is not known. A signal is accepted when it arrives.
        """
        if not (by_update):
            return self.do(unless_closed(self.handle.signal(change, args=args)))
        return self.do(self.update(change, args))

    async def update(self, change: str, args: list[Any]) -> bool | None:
        updates = asyncio.create_task(self.handle.execute_update(change, args=args))
        # An update that needs the gate stays open.
        done, _ = await asyncio.wait({updates}, timeout=3 if self.gated else 60)
        if not done:
            self.updates.append(updates)
            return None
        try:
            await updates
        except WorkflowUpdateFailedError:
            return False
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def live(self) -> OrderStatus:
        """Return the order's status, also when the machine is too busy to answer at once."""
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(TemporalUnavailable):
                    return await self.order_env.env.client.status(self.order_id)
                order = await self.order_env.env.reads.order(self.order_id)
                if (
                    order
                    and order.status.ended
                    and self.order_env.is_unreliable(await self.order_env.histories(order.status))
                ):
                    return order.status  # no worker can replay it, so none can answer

    async def open_gate(self) -> None:
        self.gate.opened.set()
        self.gated = False

    async def until_it_waits(self) -> None:
        await eventually(self.live, lambda status: status.step in WAITING)

    def teardown(self) -> None:
        if not hasattr(self, "handle"):
            return
        self.do(self.open_gate() if self.broken else self.settle())

    async def settle(self) -> None:
        """Let the order end, and compare the outcome with the model."""
        await self.open_gate()
        with contextlib.suppress(WorkflowFailureError):
            await self.handle.result()
        await asyncio.gather(*self.updates, return_exceptions=True)
        order_env, order_id, model = self.order_env, self.order_id, self.model
        status = (await order_env.env.recorded(order_id)).status
        end, payment = str(status.step), status.payment.id
        histories = await order_env.histories(status)
        if order_env.is_unreliable(histories):
            return
        assert end in model.ends(), f"ended {end}, not {model.ends()}: {status}"

        parcels = order_env.carrier.parcels.get(f"ship-{order_id}", [])
        if end in {"canceled", "failed"}:
            await eventually(lambda: balance(order_env, payment), lambda amount: amount == 0)
        error = model.ledger_error(
            end, order_env.provider.charges[payment], order_env.provider.refunds[payment], len(parcels)
        )
        assert error is None, error
        for parcel in parcels:
            assert parcel.address.street in model.address
            assert parcel.address == status.address

        # Event ids follow the order of writes; an event noted during the charge may be written after it.
        steps = {str(event.step) for event in await order_env.env.events(order_id)}
        assert all(reachable("receive", step) and reachable(step, end) for step in steps), f"{steps}, and ended {end}"
        assert reachable(self.last_step, end)
        live = await self.live()
        queried, stored = comparable(live), comparable(status)
        assert queried == stored, f"the workflow has {queried}, the order store {stored}"
        await order_env.replay(histories)


def comparable(status: OrderStatus) -> tuple[Any, ...]:
    """Return what a query and the order store agree on; a workflow may not know a canceled shipment's attempts."""
    shipments = [
        shipment.model_copy(update={"attempts": 0}) if shipment.status is ShipmentStatus.CANCELED else shipment
        for shipment in status.shipments
    ]
    return status.step, status.cancel_reason, shipments


def address_at(street: str) -> Address:
    return ADDRESS.model_copy(update={"street": street})


async def unless_closed(work: Any) -> bool:
    """Await a request to an order that may have ended; return whether it was still open."""
    try:
        await work
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def balance(order_env: OrderEnvironment, payment: str) -> int:
    return order_env.provider.balance(payment)
