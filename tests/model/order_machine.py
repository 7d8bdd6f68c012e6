"""The machine that hypothesis drives: one order, and everything that people, providers, the store and
the clock do to it, in any order. `lifecycle_model` says what may come of it.

What the time-skipping server can't do is left to `restless_machine` and a real server (deploy/docs/testing.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleet import ADDRESS, Behavior, Gate, Script, eventually, fails, quick_policy
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle_model import Expected, leads
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode
from yard import Yard

from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable, PaymentRefused, ProviderUnavailable
from orderfleet.domain.order import Address, Delivery, Review, ReviewMode, ReviewTimeoutAction, SpecUpdate
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.shipment import CarrierUpdate, DispatchFailed
from orderfleet.domain.status import OrderStatus, ShipmentStatus
from orderfleet.services.errors import TemporalUnavailable

T = TypeVar("T")

STREETS = ["2 Side St", "3 Back St", "4 Far St"]
ATTEMPTS = 3
PATIENT = StepPolicy(attempt_timeout="30s", initial_interval="10ms", maximum_interval="20ms", attempts=ATTEMPTS)
"""No attempt times out because the machine is busy: what fails here fails because it was told to."""
WAITING = {"manual_review", "shipped", "delivered", "canceled", "failed"}
"""Steps at which an order goes on only when somebody moves, or time does."""

troubles = st.lists(st.sampled_from(["away", "answer lost", "refused"]), max_size=ATTEMPTS + 1)
"""A refusal may follow an attempt that did its work and lost its answer."""


async def _works() -> None:
    return


def arrange(script: Script, troubles: list[str], away: Exception, refused: Exception, gate: Gate | None) -> None:
    """Have the next calls go wrong, the first of them after the gate opened."""
    kinds: dict[str, tuple[list[Behavior], Exception]] = {
        "away": (script.before, away),
        "answer lost": (script.after, away),
        "refused": (script.before, refused),
    }
    script.before[:], script.after[:] = [gate] if gate else [], []
    for trouble in troubles:
        place, error = kinds[trouble]
        if place is script.after:
            # The call gets as far as its answer.
            script.before.append(_works)
        place.append(fails(error))


class OrderMachine(RuleBasedStateMachine):
    """One order. `yard` and the loop it lives on are set by the test that runs the machine."""

    yard: Yard
    loop: asyncio.AbstractEventLoop
    broken = False
    """Whether something raised: what it was is told, not what comes of it."""

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the yard's loop do it."""
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
        charging=troubles,
        booking=troubles,
        undoing=st.integers(0, 4),
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
        undoing,
        gated,
        changes_per_run,
    ) -> None:
        yard = self.yard
        yard.outage.away = yard.outage.answers_lost = 0
        self.order_id = yard.name_order()
        if gated == "book" and yard.skips:
            gated = None
        self.gate, self.gated = Gate(), gated is not None
        self.generation = 0
        self.seen = "receive"
        self.asked: list[asyncio.Task[None]] = []
        provider, carrier = yard.provider, yard.carrier
        away, refused = ProviderUnavailable("503"), PaymentRefused("card expired")
        arrange(provider.charging, charging, away, refused, self.gate if gated == "charge" else None)
        arrange(provider.refunding, ["away"] * undoing, away, refused, None)
        arrange(provider.voiding, ["away"] * undoing, away, refused, None)
        full, no_van = CarrierUnavailable("busy"), CarrierRefused("no van")
        arrange(carrier.booking, booking, full, no_van, self.gate if gated == "book" else None)
        arrange(carrier.voiding, ["away"] * undoing, full, no_van, self.gate if gated == "void" else None)
        self.troubles = max(len(charging), len(booking))
        self.model = Expected(
            needs_approval=manual and not approved,
            time_out_approves=then is ReviewTimeoutAction.APPROVE,
            confirms=confirm,
            address={ADDRESS.street},
            cancel_unsure=deadline is not None,
            may_fail="refused" in charging + booking or self.troubles >= ATTEMPTS,
        )
        policy = quick_policy(
            yard.fleet.settings,
            charge=PATIENT,
            prepare_package=PATIENT,
            dispatch_carrier=PATIENT,
            refund=PATIENT,
            **({"changes_per_run": changes_per_run} if yard.continues_as_new else {}),
        )
        order = yard.fleet.order(
            self.order_id,
            policy=policy,
            approved=approved,
            review=Review(
                mode=ReviewMode.MANUAL if manual else ReviewMode.AUTO, timeout=yard.hour * reviewing, on_timeout=then
            ),
            deadline=yard.hour * deadline if deadline else None,
            delivery=Delivery(confirm=confirm, timeout=yard.hour * 40),
        )
        self.handle: WorkflowHandle[Any, OrderStatus] = self.do(yard.fleet.start(order))

    @rule(by_update=st.booleans())
    def approve(self, by_update) -> None:
        taken = self.tell("approve", [], by_update)
        # On a clock that runs, a signal may come just after the time-out.
        if taken is True and (by_update or self.yard.skips) and not self.model.cancel_unsure:
            self.model.approved = True
        elif taken is not False:
            self.model.approval_unsure = True

    @rule(by_update=st.booleans(), change=st.sampled_from(["cancel_order", "cancel_payment"]))
    def cancel(self, by_update, change) -> None:
        taken = self.tell(change, ["enough"], by_update)
        if taken is True and by_update:
            self.model.cancel_taken = True
        elif taken is not False:
            self.model.cancel_unsure = True

    @rule()
    def cancel_in_temporal(self) -> None:
        self.model.cancel_unsure = True
        self.do(quietly(self.handle.cancel()))

    @rule(by_update=st.booleans(), street=st.sampled_from(STREETS))
    def change_address(self, by_update, street) -> None:
        taken = self.tell("update_address", [elsewhere(street)], by_update)
        if taken is True and by_update:
            self.model.address = {street}
        elif taken is not False:
            self.model.address.add(street)

    @rule(approved=st.booleans(), cancel=st.booleans(), street=st.sampled_from([None, *STREETS]), again=st.booleans())
    def declare(self, approved, cancel, street, again) -> None:
        told = again and self.generation > 0
        self.generation += not told
        declared = SpecUpdate(
            generation=self.generation,
            owner_uid="uid",
            approved=approved,
            cancel=cancel,
            address=elsewhere(street) if street else None,
        )
        if self.do(quietly(self.handle.signal("apply_spec", declared))) and not told:
            self.model.cancel_unsure |= cancel
            self.model.approval_unsure |= approved
            self.model.address |= {street} if street else set()

    @rule(shipment=st.sampled_from([1, 2, 9]), status=st.sampled_from(["dispatched", "delivered"]))
    def carrier_speaks(self, shipment, status) -> None:
        update = CarrierUpdate(shipment_id=f"shipping-{self.order_id}-{shipment}", status=ShipmentStatus(status))
        self.do(quietly(self.handle.signal("carrier_update", update)))
        self.model.carrier_confirmed |= status == "delivered"

    @rule(shipment=st.sampled_from([1, 9]))
    def shipment_tells_again(self, shipment) -> None:
        told = DispatchFailed(shipment_id=f"shipping-{self.order_id}-{shipment}", reason="told twice")
        self.do(quietly(self.handle.signal("dispatch_failed", told)))

    @rule(change=st.sampled_from(["update_address", "apply_spec", "carrier_update"]))
    def garbage(self, change) -> None:
        self.do(quietly(self.handle.signal(change, ["garbage"])))

    @rule(before=st.integers(0, 4), after=st.integers(0, 3))
    def store_goes_away(self, before, after) -> None:
        self.yard.outage.away += before
        self.yard.outage.answers_lost += after

    @precondition(lambda self: self.gated)
    @rule()
    def gate_opens(self) -> None:
        self.do(self.open_gate())

    @precondition(lambda self: not self.gated)
    @rule(hours=st.sampled_from([1, 11, 50]))
    def time_passes(self, hours) -> None:
        """Only while nothing is under way: a clock that skips would end the attempts that are."""
        self.do(self.until_it_waits())
        self.do(self.yard.pass_time(self.yard.hour * hours))

    @invariant()
    def it_moves_along_the_table(self) -> None:
        step = str(self.do(self.live()).step)
        assert leads(self.seen, step), f"from {self.seen} to {step}"
        self.seen = step

    def tell(self, change: str, args: list[Any], by_update: bool) -> bool | None:
        """Ask for a change; whether it was taken, None if that is not known. A signal is taken as it arrives."""
        if not (by_update):
            return self.do(quietly(self.handle.signal(change, args=args)))
        return self.do(self.update(change, args))

    async def update(self, change: str, args: list[Any]) -> bool | None:
        asked = asyncio.create_task(self.handle.execute_update(change, args=args))
        # One that can be answered only when the gate opens is left open.
        done, _ = await asyncio.wait({asked}, timeout=3 if self.gated else 60)
        if not done:
            self.asked.append(asked)
            return None
        try:
            await asked
        except WorkflowUpdateFailedError:
            return False
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def live(self) -> OrderStatus:
        """Where it stands now, also when the machine is too busy to say so at once."""
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(TemporalUnavailable):
                    return await self.yard.fleet.client.status(self.order_id)
                order = await self.yard.fleet.reads.order(self.order_id)
                if order and order.status.ended and self.yard.misled(await self.yard.histories(order.status)):
                    return order.status  # no worker can play it again, so none can answer

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
        """Let the order come to its end, and hold what there is of it against the model."""
        await self.open_gate()
        with contextlib.suppress(WorkflowFailureError):
            await self.handle.result()
        await asyncio.gather(*self.asked, return_exceptions=True)
        yard, order_id, model = self.yard, self.order_id, self.model
        status = (await yard.fleet.recorded(order_id)).status
        end, payment = str(status.step), status.payment.id
        histories = await yard.histories(status)
        if yard.misled(histories):
            return
        assert end in model.ends(), f"ended {end}, not {model.ends()}: {status}"

        parcels = yard.carrier.parcels.get(f"ship-{order_id}", [])
        if end in {"canceled", "failed"}:
            await eventually(lambda: balance(yard, payment), lambda owed: owed == 0)
        wrong = model.wrong_money(end, yard.provider.charges[payment], yard.provider.refunds[payment], len(parcels))
        assert wrong is None, wrong
        for parcel in parcels:
            assert parcel.address.street in model.address
            assert parcel.address == status.address

        # By their ids events are sorted as they were written; what is noted during the charge may be written after it.
        steps = {str(event.step) for event in await yard.fleet.events(order_id)}
        assert all(leads("receive", step) and leads(step, end) for step in steps), f"{steps}, and ended {end}"
        assert leads(self.seen, end)
        live = await self.live()
        told, wanted = said(live), said(status)
        assert told == wanted, f"the workflow says {told}, the record {wanted}"
        await yard.replay(histories)


def said(status: OrderStatus) -> tuple[Any, ...]:
    """What a query and the record agree on; the workflow may not know how often a carrier was asked before a cancel."""
    shipments = [
        shipment.model_copy(update={"attempts": 0}) if shipment.status is ShipmentStatus.CANCELED else shipment
        for shipment in status.shipments
    ]
    return status.step, status.cancel_reason, shipments


def elsewhere(street: str) -> Address:
    return ADDRESS.model_copy(update={"street": street})


async def quietly(work: Any) -> bool:
    """Ask something of an order that may have ended; whether there was one to ask."""
    try:
        await work
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def balance(yard: Yard, payment: str) -> int:
    return yard.provider.balance(payment)
