"""The shipments of one order: child workflows on the shipping queue, asked and answered by signal.

Called by the order workflow's flow (`ship`) and by its handlers (`ask_…`). A workflow can't send
an update to a workflow: the order forwards a change to its shipment by signal, the shipment
answers by signal, and whoever asked waits for that answer. What decides is how the child ends.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from temporalio import workflow

from orderfleet.orders.context import AlreadyShipped, OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.payment import intent
from orderfleet.temporal.refunds import check_workflow
from orderfleet.temporal.step_runner import ActivityRef

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
    from temporalio.workflow import ParentClosePolicy

    from orderfleet.domain import names
    from orderfleet.domain.activities import RecordShipmentInput, StepResult, VoidBookingInput, VoidBookingResult
    from orderfleet.domain.base import Contract, error_message, truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address
    from orderfleet.domain.shipment import (
        AddressChange,
        Booking,
        BookingState,
        CarrierUpdate,
        DispatchFailed,
        ParcelState,
        ShipmentAnswer,
        ShipmentCancel,
        ShipmentRecord,
        ShippingInput,
        ShippingResult,
    )
    from orderfleet.domain.status import ShipmentStatus, ShipmentView, Step
    from orderfleet.domain.workflow_ids import CheckWorkflowInput, IdHolder


_Child = workflow.ChildWorkflowHandle[Any, ShippingResult]


class ShipmentPhase:
    """Ships one order, in as many shipments as its policy allows."""

    def __init__(self, ctx: OrderContext) -> None:
        self._ctx = ctx
        self._child: _Child | None = None
        self._over = False
        self._requests = 0
        self._answers: dict[int, ShipmentAnswer] = {}

    async def ship(self) -> None:
        """Ship the order; afterwards its last shipment is dispatched.

        Raises:
            OrderCanceled: a cancel was taken before dispatch.
            OrderFailed: dispatch failed for good.
        """
        try:
            for attempt in range(1, self._ctx.policy.shipping_attempts + 1):
                self._ctx.stop_if_canceled()
                result = await self._one(attempt)
                if result.status is ShipmentStatus.DISPATCHED:
                    return
                if result.status is ShipmentStatus.CANCELED:
                    raise OrderCanceled(result.reason or "canceled")
                self._ctx.state.dispatch_failed_reason = result.reason
                await self.void_booking()
        except AlreadyShipped:
            # The booking's answer was lost; the parcel is on its way all the same.
            return
        finally:
            self._over = True
        raise OrderFailed(f"dispatch failed: {self._ctx.state.dispatch_failed_reason}")

    async def void_booking(self) -> None:
        """Make sure that none of the shipments so far can still go.

        Raises:
            AlreadyShipped: one is on its way.
        """
        ctx = self._ctx
        attempt = len(ctx.state.shipments)
        if not attempt:
            return
        void: ActivityRef[VoidBookingInput, VoidBookingResult] = ActivityRef(
            "void_booking", VoidBookingResult, ctx.policy.shipping_task_queue
        )
        arg = VoidBookingInput(order_id=ctx.order.order_id, shipment_attempt=attempt)
        answer = await ctx.record_while(
            ctx.steps.retry_forever(void, arg, ctx.policy.dispatch_carrier, ctx.policy.retry_forever_backoff)
        )
        if answer.state is BookingState.DISPATCHED and answer.booking is not None:
            await self._went_after_all(answer.booking)
            raise AlreadyShipped
        if answer.state is BookingState.VOIDED:
            ctx.journal.append(EventKind.BOOKING_VOIDED, key=names.booking_key(ctx.order.order_id))

    async def _went_after_all(self, booking: Booking) -> None:
        """Record the last shipment as dispatched: it ended itself as failed, for all it knew."""
        ctx = self._ctx
        self._update(
            status=ShipmentStatus.DISPATCHED,
            carrier=booking.carrier,
            tracking_number=booking.tracking_number,
            dispatch_failed_reason=None,
        )
        ctx.state.dispatch_failed_reason = None
        record: ActivityRef[RecordShipmentInput, StepResult] = ActivityRef(
            "record_shipment", StepResult, ctx.policy.shipping_task_queue
        )
        last = ctx.state.shipments[-1]
        shipment = ShipmentRecord(
            shipment_id=last.id,
            order_id=ctx.order.order_id,
            attempt=len(ctx.state.shipments),
            status=last.status,
            carrier=last.carrier,
            tracking_number=last.tracking_number,
            attempts=last.attempts,
        )
        arg = RecordShipmentInput(order_id=ctx.order.order_id, shipment=shipment, events=())
        await ctx.record_while(
            ctx.steps.retry_forever(record, arg, ctx.policy.record, ctx.policy.retry_forever_backoff)
        )

    async def ask_address(self, address: Address) -> str | None:
        """Ask the shipment to go elsewhere; why it refused, or None when it will."""
        return await self._ask(
            names.CHANGE_ADDRESS,
            lambda number: AddressChange(request=number, address=address),
            when_over="no package will go: the order is being undone",
        )

    async def ask_cancel(self, reason: str) -> str | None:
        """Ask the shipment not to go; why it refused, or None when it won't."""
        return await self._ask(
            names.CANCEL_SHIPMENT,
            lambda number: ShipmentCancel(request=number, reason=reason),
            when_over=None,
        )

    def answered(self, answer: ShipmentAnswer) -> None:
        """The shipment answered."""
        last = self._ctx.state.shipments[-1] if self._ctx.state.shipments else None
        # Any client can send one: a number that was not given out yet must not answer a later request.
        if last is not None and answer.shipment_id == last.id and 0 < answer.request <= self._requests:
            self._answers[answer.request] = answer.model_copy(update={"reason": truncate(answer.reason)})

    def dispatch_failed(self, told: DispatchFailed) -> None:
        """The shipment told early that its dispatch failed; told again, or once it has ended, it changes nothing."""
        last = self._ctx.state.shipments[-1] if self._ctx.state.shipments else None
        if last is not None and last.id == told.shipment_id and last.status is ShipmentStatus.PREPARING:
            reason = truncate(told.reason)
            self._update(dispatch_failed_reason=reason)
            self._ctx.state.dispatch_failed_reason = reason

    async def _ask(self, signal: str, question: Callable[[int], Contract], *, when_over: str | None) -> str | None:
        """Ask whichever shipment is under way, until one answers or none is left to ask: then `when_over`."""
        while True:
            await workflow.wait_condition(lambda: self._child is not None or self._over)
            if self._child is None:
                last = self._ctx.state.shipments[-1:]
                shipped = bool(last) and last[0].status is ShipmentStatus.DISPATCHED
                return "the package is already dispatched" if shipped else when_over
            self._requests += 1
            answer = await self._put(self._child, signal, question(self._requests), self._requests)
            if answer is not None:
                return None if answer.accepted else answer.reason

    async def _put(self, child: _Child, signal: str, question: Contract, number: int) -> ShipmentAnswer | None:
        """Put one question to one shipment; None when it ended without an answer: how it ended decides."""
        try:
            await child.signal(signal, question)
        except ApplicationError:
            await workflow.wait_condition(lambda: self._child is not child)
            return None
        await workflow.wait_condition(lambda: number in self._answers or self._child is not child)
        return self._answers.pop(number, None)

    async def _one(self, attempt: int) -> ShippingResult:
        """Run one shipment to its end."""
        ctx = self._ctx
        shipment_id = names.shipment_id(ctx.order.order_id, attempt)
        ctx.state.shipments.append(ShipmentView(id=shipment_id, status=ShipmentStatus.PREPARING))
        arg = ShippingInput(
            order_id=ctx.order.order_id,
            order_workflow_id=workflow.info().workflow_id,
            shipment_id=shipment_id,
            attempt=attempt,
            items=ctx.order.items,
            address=ctx.state.address,
            customer=ctx.order.customer,
            payment=intent(ctx),
            orders_task_queue=workflow.info().task_queue,
            policy=ctx.policy,
        )
        try:
            self._child = await workflow.start_child_workflow(
                names.SHIPPING_WORKFLOW,
                arg,
                id=shipment_id,
                task_queue=ctx.policy.shipping_task_queue,
                result_type=ShippingResult,
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
            answered: Any = await ctx.record_while(self._child)
            if isinstance(answered, ShippingResult):
                result = answered
            else:
                result = self._failed(shipment_id, "the shipment's workflow ended with a result that can't be read")
        except WorkflowAlreadyStartedError:
            # Raised further, it would fail a charged order without a refund.
            result = await self._not_started(shipment_id)
        except ChildWorkflowError as error:
            # Terminated or canceled from outside: what it had booked is asked of the carrier.
            # It could not tell of it itself.
            failure = error_message(error.cause or error)
            result = self._failed(shipment_id, truncate(f"the shipment's workflow ended: {failure}"))
        self._child = None
        self._update(
            status=result.status,
            carrier=result.carrier,
            tracking_number=result.tracking_number,
            attempts=result.attempts,
            dispatch_failed_reason=result.reason if result.status is ShipmentStatus.FAILED else None,
        )
        for step, count in result.retries.items():
            ctx.state.count_retries(step, count + 1)
        return result

    def _failed(self, shipment_id: str, reason: str) -> ShippingResult:
        """The result of a shipment that gave none."""
        reason = truncate(reason)
        self._ctx.journal.append(EventKind.DISPATCH_FAILED, shipment=shipment_id, reason=reason)
        return ShippingResult(shipment_id=shipment_id, status=ShipmentStatus.FAILED, reason=reason)

    async def _not_started(self, shipment_id: str) -> ShippingResult:
        """End a shipment whose id a running workflow has: of another origin, or of this order before a reset."""
        ctx = self._ctx
        check = CheckWorkflowInput(
            order_id=ctx.order.order_id,
            workflow_id=shipment_id,
            workflow_type=names.SHIPPING_WORKFLOW,
            parent_id=workflow.info().workflow_id,
        )
        holder = await ctx.record_while(check_workflow(ctx.steps, check, ctx.policy, workflow.info().task_queue))
        if holder is IdHolder.FOREIGN:
            ctx.journal.append(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=shipment_id)
        return self._failed(shipment_id, f"the workflow id {shipment_id} is in use")

    def _update(self, **changes: Any) -> None:
        shipments = self._ctx.state.shipments
        shipments[-1] = shipments[-1].model_copy(update=changes)


def shipped_detail(ctx: OrderContext) -> dict[str, Any]:
    """What the audit trail says of the dispatched shipment."""
    last = ctx.state.shipments[-1]
    return {"shipment": last.id, "carrier": last.carrier, "tracking_number": last.tracking_number}


MOST_HEARD: Final = 100

"""Words of the carrier that an order keeps: one that tells without end must not fill its history."""


_KINDS: Final = {
    ParcelState.BOOKED: EventKind.PARCEL_BOOKED,
    ParcelState.IN_TRANSIT: EventKind.PARCEL_IN_TRANSIT,
}


def apply_carrier_update(ctx: OrderContext, update: CarrierUpdate) -> None:
    """The carrier told of a shipment: that it is delivered counts once, anything before it is noted once.

    Of a shipment that the order can't have, nothing is kept.
    """
    state = ctx.state
    attempts = range(1, ctx.policy.shipping_attempts + 1)
    if update.shipment_id in state.delivered or not any(
        update.shipment_id == names.shipment_id(ctx.order.order_id, attempt) for attempt in attempts
    ):
        return
    if update.status is ShipmentStatus.DELIVERED:
        state.delivered.append(update.shipment_id)
        if update.detail:
            state.delivered_detail[update.shipment_id] = truncate(update.detail)
    elif update.parcel in _KINDS and any(shipment.id == update.shipment_id for shipment in state.shipments):
        _append_event(ctx, update, update.parcel)


def _append_event(ctx: OrderContext, update: CarrierUpdate, parcel: ParcelState) -> None:
    heard = ctx.state.heard
    if parcel is ParcelState.BOOKED and any(
        word.startswith(f"{update.shipment_id} {ParcelState.IN_TRANSIT} ") for word in heard
    ):
        return
    word = f"{update.shipment_id} {parcel} {sha256(update.detail.encode()).hexdigest()[:8]}"
    if word not in heard and len(heard) < MOST_HEARD:
        heard.append(word)
        ctx.journal.append(_KINDS[parcel], shipment=update.shipment_id, **_with_update(update.detail))


def _with_update(detail: str | None) -> dict[str, str]:
    return {"detail": truncate(detail)} if detail else {}


async def confirm(ctx: OrderContext) -> None:
    """Wait until the dispatched shipment is delivered; unconfirmed in time, the order stays shipped."""
    state = ctx.state
    shipment = state.shipments[-1]
    if state.delivery_deadline is None:
        state.delivery_deadline = workflow.now() + ctx.order.delivery.timeout
    if await ctx.wait_until(lambda: shipment.id in state.delivered, state.delivery_deadline):
        state.shipments[-1] = shipment.model_copy(update={"status": ShipmentStatus.DELIVERED})
        state.enter(Step.DELIVERED)
        ctx.journal.append(
            EventKind.DELIVERED, shipment=shipment.id, **_with_update(state.delivered_detail.get(shipment.id))
        )
    else:
        state.last_error = "the carrier did not confirm delivery in time"
        ctx.journal.append(EventKind.DELIVERY_UNCONFIRMED, shipment=shipment.id)
