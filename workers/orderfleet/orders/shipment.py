"""The shipments of one order, each a child workflow on the shipping queue.

A workflow can't send an update to another workflow. So the order sends a change to its shipment as a signal with a
request number, the shipment answers with a signal, and the handler of the change waits for it. The result of the child
workflow decides how the shipment ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow

from orderfleet.orders import hold
from orderfleet.orders.context import AlreadyShipped, OrderCanceled, OrderContext, OrderFailed
from orderfleet.temporal.refunds import check_workflow
from orderfleet.temporal.step_runner import ActivityRef

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
    from temporalio.workflow import ParentClosePolicy

    from orderfleet.domain import names
    from orderfleet.domain.activities import (
        CheckWorkflowInput,
        IdHolder,
        RecordShipmentInput,
        StepResult,
        VoidBookingInput,
        VoidBookingResult,
    )
    from orderfleet.domain.base import Contract, error_message, truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address, CaptureMode
    from orderfleet.domain.shipment import (
        AddressChange,
        Booking,
        BookingState,
        DispatchFailed,
        ShipmentAnswer,
        ShipmentCancel,
        ShipmentRecord,
        ShippingInput,
        ShippingResult,
    )
    from orderfleet.domain.status import PaymentStatus, ShipmentStatus, ShipmentView


_Child = workflow.ChildWorkflowHandle[Any, ShippingResult]


class ShipmentPhase:
    """Ships one order, with as many shipments as its policy allows.

    Args:
        ctx: the order.
    """

    def __init__(self, ctx: OrderContext) -> None:
        self._ctx = ctx
        self._child: _Child | None = None
        self._closed = False
        self._waits = False
        """Whether the order is held, and no shipment runs."""
        self._requests = 0
        self._answers: dict[int, ShipmentAnswer] = {}

    async def ship(self) -> None:
        """Ship the order; afterwards its last shipment is dispatched.

        Raises:
            OrderCanceled: a cancel was accepted before dispatch, or the payment was not captured in time.
            OrderFailed: every shipment failed.
        """
        # A run that continues another one is held, with its last shipment parked.
        attempt = max(len(self._ctx.state.shipments), 1)
        try:
            while attempt <= self._ctx.policy.shipping_attempts:
                await self._wait_while_held()
                self._ctx.stop_if_canceled()
                result = await self._run_shipment(attempt)
                if result.status is ShipmentStatus.DISPATCHED:
                    return
                if result.status is ShipmentStatus.CANCELED:
                    raise OrderCanceled(result.reason or "canceled")
                if result.status is ShipmentStatus.PARKED:
                    continue
                self._ctx.state.dispatch_failed_reason = result.reason
                await self.void_booking()
                attempt += 1
        except AlreadyShipped:
            # The parcel is dispatched; only the result of the booking was lost.
            return
        finally:
            self._closed = True
        raise OrderFailed(f"dispatch failed: {self._ctx.state.dispatch_failed_reason}")

    async def _wait_while_held(self) -> None:
        self._waits = True
        try:
            await hold.wait(self._ctx)
        finally:
            self._waits = False

    async def void_booking(self) -> None:
        """Void the booking of every shipment so far.

        Raises:
            AlreadyShipped: the parcel is dispatched.
        """
        ctx = self._ctx
        attempt = len(ctx.state.shipments)
        if not attempt:
            return
        void: ActivityRef[VoidBookingInput, VoidBookingResult] = ActivityRef(
            "void_booking", VoidBookingResult, ctx.policy.shipping_task_queue
        )
        arg = VoidBookingInput(order_id=ctx.order.order_id, shipment_attempt=attempt)
        answer = await ctx.record_while(ctx.steps.retry_forever(void, arg, ctx.policy.dispatch_carrier))
        if answer.state is BookingState.DISPATCHED and answer.booking is not None:
            await self._record_dispatched(answer.booking)
            raise AlreadyShipped
        if answer.state is BookingState.VOIDED:
            ctx.journal.append(EventKind.BOOKING_VOIDED, key=names.booking_key(ctx.order.order_id))

    async def _record_dispatched(self, booking: Booking) -> None:
        """Record the last shipment as dispatched: its workflow had recorded it as failed."""
        ctx = self._ctx
        if ctx.order.payment.capture is CaptureMode.ON_SHIPMENT:
            # A parcel is dispatched only after the capture.
            ctx.state.payment_status = PaymentStatus.CHARGED
        self._update(status=ShipmentStatus.DISPATCHED, dispatch_failed_reason=None, **dict(booking))
        ctx.state.dispatch_failed_reason = None
        record: ActivityRef[RecordShipmentInput, StepResult] = ActivityRef(
            "record_shipment", StepResult, ctx.policy.shipping_task_queue
        )
        last = ctx.state.shipments[-1]
        ids = {"shipment_id": last.id, "order_id": ctx.order.order_id, "attempt": len(ctx.state.shipments)}
        shipment = ShipmentRecord(**dict(last), **ids)
        arg = RecordShipmentInput(order_id=ctx.order.order_id, shipment=shipment, events=())
        await ctx.record_while(ctx.steps.retry_forever(record, arg, ctx.policy.record))

    async def request_address_change(self, address: Address) -> str | None:
        """Ask the shipment to go to another address.

        Args:
            address: the new address.

        Returns:
            The reason of a rejection, or None.
        """
        return await self._request(
            names.CHANGE_ADDRESS,
            lambda number: AddressChange(request=number, address=address),
            when_closed="no package will be sent: the order is being compensated",
        )

    async def request_cancel(self, reason: str) -> str | None:
        """Ask the shipment to cancel.

        Args:
            reason: why the order is canceled.

        Returns:
            The reason of a rejection, or None.
        """
        return await self._request(
            names.CANCEL_SHIPMENT, lambda number: ShipmentCancel(request=number, reason=reason), when_closed=None
        )

    def accept_answer(self, answer: ShipmentAnswer) -> None:
        """Store an answer of the current shipment for the handler that waits for it."""
        last = self._ctx.state.shipments[-1] if self._ctx.state.shipments else None
        # Any client can send this signal: an unused number must not answer a later request.
        if last is not None and answer.shipment_id == last.id and 0 < answer.request <= self._requests:
            self._answers[answer.request] = answer.model_copy(update={"reason": truncate(answer.reason)})

    def dispatch_failed(self, failed: DispatchFailed) -> None:
        """Show why the current shipment failed before its workflow ends; a repetition changes nothing."""
        last = self._ctx.state.shipments[-1] if self._ctx.state.shipments else None
        if last is not None and last.id == failed.shipment_id and last.status is ShipmentStatus.PREPARING:
            reason = truncate(failed.reason)
            self._update(dispatch_failed_reason=reason)
            self._ctx.state.dispatch_failed_reason = reason

    async def _request(self, signal: str, request: Callable[[int], Contract], *, when_closed: str | None) -> str | None:
        """Send a request to the running shipment, and to the next one if that ends without an answer.

        Args:
            signal: name of the signal.
            request: makes its argument from the request number.
            when_closed: result once all shipments have ended and none is dispatched.

        Returns:
            The reason of a rejection, or None.
        """
        while True:
            await workflow.wait_condition(lambda: self._child is not None or self._closed or self._waits)
            if self._waits:
                # Without a shipment, the order itself stops, or its next run has the address.
                return None
            if self._child is None and not self._closed:
                continue
            if self._child is None:
                last = self._ctx.state.shipments[-1:]
                shipped = bool(last) and last[0].status is ShipmentStatus.DISPATCHED
                return "the package is already dispatched" if shipped else when_closed
            self._requests += 1
            answer = await self._send(self._child, signal, request(self._requests), self._requests)
            if answer is not None:
                return None if answer.accepted else answer.reason

    async def _send(self, child: _Child, signal: str, request: Contract, number: int) -> ShipmentAnswer | None:
        """Send one request to one shipment; its answer, or None if it ended without one."""
        try:
            await child.signal(signal, request)
        except ApplicationError:
            await workflow.wait_condition(lambda: self._child is not child)
            return None
        await workflow.wait_condition(lambda: number in self._answers or self._child is not child)
        return self._answers.pop(number, None)

    async def _run_shipment(self, attempt: int) -> ShippingResult:
        """Run the `attempt`-th shipment, from 1, to its end."""
        ctx = self._ctx
        shipment_id = names.shipment_id(ctx.order.order_id, attempt)
        if len(ctx.state.shipments) < attempt:
            ctx.state.shipments.append(ShipmentView(id=shipment_id, status=ShipmentStatus.PREPARING))
        else:
            self._update(status=ShipmentStatus.PREPARING)
        # Address and method may have changed since the start.
        own = {
            "attempt": attempt,
            "address": ctx.state.address,
            "orders_task_queue": workflow.info().task_queue,
            "capture": ctx.order.payment.capture,
            "method": ctx.state.payment_method or ctx.order.payment.method,
            "run": ctx.state.parked + 1,
        }
        arg = ShippingInput(**dict(ctx.order) | own)
        try:
            self._child = await workflow.start_child_workflow(
                names.SHIPPING_WORKFLOW,
                arg,
                id=shipment_id,
                task_queue=ctx.policy.shipping_task_queue,
                result_type=ShippingResult,
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
            returned: Any = await ctx.record_while(self._child)
            if isinstance(returned, ShippingResult):
                result = returned
            else:
                result = self._failed(shipment_id, "the shipment's workflow ended with a result that can't be read")
        except WorkflowAlreadyStartedError:
            # Not raised: it would fail a charged order without a refund.
            result = await self._not_started(shipment_id)
        except ChildWorkflowError as error:
            # Terminated or canceled by another client, so it sent no result: `void_booking` asks the carrier.
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
        if result.captured:
            ctx.state.payment_status = PaymentStatus.CHARGED
        if result.status is ShipmentStatus.PARKED:
            ctx.state.parked += 1
            hold.begin(ctx, result)
        else:
            hold.end(ctx)
        return result

    def _failed(self, shipment_id: str, reason: str) -> ShippingResult:
        """Record the failure of a shipment whose workflow returned no result, and return one."""
        reason = truncate(reason)
        self._ctx.journal.append(EventKind.DISPATCH_FAILED, shipment=shipment_id, reason=reason)
        return ShippingResult(status=ShipmentStatus.FAILED, reason=reason)

    async def _not_started(self, shipment_id: str) -> ShippingResult:
        """Fail a shipment whose id a running workflow has: of another client, or of this order before a reset."""
        ctx = self._ctx
        check = CheckWorkflowInput(
            order_id=ctx.order.order_id,
            workflow_id=shipment_id,
            workflow_type=names.SHIPPING_WORKFLOW,
            parent_id=workflow.info().workflow_id,
        )
        holder = await ctx.record_while(check_workflow(ctx.steps, check, workflow.info().task_queue))
        if holder is IdHolder.FOREIGN:
            ctx.journal.append(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=shipment_id)
        return self._failed(shipment_id, f"the workflow id {shipment_id} is in use")

    def _update(self, **changes: Any) -> None:
        shipments = self._ctx.state.shipments
        shipments[-1] = shipments[-1].model_copy(update=changes)


def shipped_detail(ctx: OrderContext) -> dict[str, Any]:
    """Detail of the event of a dispatched order."""
    last = ctx.state.shipments[-1]
    return {"shipment": last.id, "carrier": last.carrier, "tracking_number": last.tracking_number}
