"""`ShippingWorkflow`: one shipment, from preparing the package to its booking with the carrier.

It is a child of the order workflow and can outlive it. It accepts another address or a cancel until it schedules
`dispatch_carrier`; from then on it rejects an address, and the carrier decides on a cancel. A payment that is captured
on shipment is captured before; without it, the shipment ends parked and waits for nothing. It must do no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ActivityError, ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.activities import (
        CapturePaymentInput,
        CapturePaymentResult,
        DispatchInput,
        DispatchResult,
        PrepareInput,
        RecordShipmentInput,
        StepResult,
        VoidBookingInput,
        VoidBookingResult,
    )
    from orderfleet.domain.base import truncate
    from orderfleet.domain.errors import AuthorizationLapsed, PaymentConflict, PaymentRefused, PaymentVoided
    from orderfleet.domain.events import AuditEvent, EventKind
    from orderfleet.domain.inputs import InputRejected, Model, read_one
    from orderfleet.domain.order import Address, CaptureMode
    from orderfleet.domain.refunds import RefundOrder
    from orderfleet.domain.shipment import (
        AddressChange,
        BookingState,
        DispatchFailed,
        ShipmentAnswer,
        ShipmentCancel,
        ShipmentRecord,
        ShippingInput,
        ShippingResult,
    )
    from orderfleet.domain.status import HoldName, ShipmentStatus, Step
    from orderfleet.shipping.activities import ShippingActivities

from orderfleet.temporal.refunds import start_refund
from orderfleet.temporal.step_runner import ActivityRef, LastError, StepFailed, StepRunner, read_start

_PREPARE = ActivityRef(ShippingActivities.prepare_package, StepResult)
_DISPATCH = ActivityRef(ShippingActivities.dispatch_carrier, DispatchResult)
_RECORD = ActivityRef(ShippingActivities.record_shipment, StepResult)
_VOID = ActivityRef(ShippingActivities.void_booking, VoidBookingResult)

_REFUSALS: Final = frozenset({PaymentRefused.__name__, AuthorizationLapsed.__name__})
"""Types of errors with which nothing is captured."""

_LOST_PAYMENTS: Final = frozenset({PaymentVoided.__name__, PaymentConflict.__name__})
"""Types of errors with which the order can never be paid."""

_MAX_REJECTED: Final = 100
"""Rejected signals that a shipment records, so that a client that repeats itself can't fill its history."""


@workflow.defn(name=names.SHIPPING_WORKFLOW)
class ShippingWorkflow(LastError):
    """One shipment."""

    @workflow.init
    def __init__(self, *args: Any) -> None:
        super().__init__()
        self._rejected_start: ApplicationError | None = None
        self._rejected: list[AuditEvent] = []
        """Events of signals that could not be read; written with the end."""
        self._event_count = 0
        try:
            shipment = read_start(ShippingInput, args, lambda shipment: shipment.shipment_id)
        except ApplicationError as rejected:
            # Only `run` can fail the workflow, and signal handlers may run before it.
            self._rejected_start = rejected
            return
        self._input = shipment
        self._address = shipment.address
        self._prepared: Address | None = None
        self._captured = False
        self._parked = False
        self._cancel_reason: str | None = None
        self._dispatching = False
        self._provider_task: asyncio.Task[Any] | None = None
        """The capture or the booking that runs."""
        self._voids = 0
        self._closed = False
        self._retries: dict[str, int] = {}
        self._attempts = 0
        self._conflicts: list[AuditEvent] = []
        self._steps = StepRunner(shipment.policy, self._on_error)

    @workflow.run
    async def run(self, *args: Any) -> ShippingResult:  # noqa: ARG002 - read in __init__
        """Run the shipment to its end.

        Returns:
            How it ended.

        Raises:
            ApplicationError: the input is rejected; the message has the reason.
        """
        if self._rejected_start is not None:
            raise self._rejected_start
        result = await self._ship(self._input)
        self._closed = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._rejected:
            await self._record_rejected(result)
        return result

    async def _ship(self, shipment: ShippingInput) -> ShippingResult:
        try:
            await self._prepare(shipment)
            if shipment.capture is CaptureMode.ON_SHIPMENT and self._cancel_reason is None:
                parked = await self._capture(shipment)
                if parked is not None:
                    return parked
                # The address may have changed during the capture.
                await self._prepare(shipment)
            if self._cancel_reason is not None:
                return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
            # From here on another address is rejected: the scheduled activity has this one.
            self._dispatching = True
            return await self._dispatch(shipment)
        except StepFailed as failed:
            if self._cancel_reason is not None:
                return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
            if self._dispatching:
                self._attempts = failed.attempts
            reason = str(failed)
        except (ActivityError, asyncio.CancelledError):
            if self._cancel_reason is None:
                raise
            return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
        signal = DispatchFailed(shipment_id=shipment.shipment_id, reason=reason)
        is_charged = shipment.capture is CaptureMode.IMMEDIATE or self._captured
        is_signaled = await self._signal_order(names.DISPATCH_FAILED, signal)
        if not is_signaled and await self._void_booking() is None and is_charged:
            # The order workflow is closed, so this one has voided the booking and starts the refund. The orphan sweep
            # voids an authorization.
            refund = RefundOrder(
                order_id=shipment.order_id, payment=shipment.payment, reason="dispatch failed", policy=shipment.policy
            )
            await start_refund(self._steps, refund, shipment.orders_task_queue, self._on_conflict)
        return await self._end(ShipmentStatus.FAILED, EventKind.DISPATCH_FAILED, reason)

    async def _prepare(self, shipment: ShippingInput) -> None:
        """Prepare the package; repeated if the address changes during it."""
        while self._prepared != self._address and self._cancel_reason is None:
            self._prepared = self._address
            arg = PrepareInput(
                order_id=shipment.order_id,
                shipment=self._record(ShipmentStatus.PREPARED),
                events=(self._event(EventKind.PACKAGE_PREPARED),),
            )
            # A local activity, as it uses the order store only.
            attempt = await self._steps.run_locally(_PREPARE, arg, shipment.policy.prepare_package)
            self._count("prepare_package", attempt)

    async def _capture(self, shipment: ShippingInput) -> ShippingResult | None:
        """Capture the payment; returns the result of a shipment that ends without it.

        Raises:
            StepFailed: the payment is voided or belongs to another order.
        """
        capture: ActivityRef[CapturePaymentInput, CapturePaymentResult] = ActivityRef(
            "capture_payment", CapturePaymentResult, shipment.orders_task_queue
        )
        arg = CapturePaymentInput(
            order_id=shipment.order_id,
            payment=shipment.payment,
            event_key=self._event_key(),
            shipment_id=shipment.shipment_id,
        )
        self._provider_task = asyncio.create_task(self._steps.run(capture, arg, shipment.policy.capture))
        try:
            self._count("capture_payment", await self._provider_task)
        except StepFailed as failed:
            if self._cancel_reason is not None or failed.type in _LOST_PAYMENTS:
                raise
            self._parked = True
            if failed.type in _REFUSALS:
                return await self._park(HoldName.PAYMENT_REQUIRED, EventKind.CAPTURE_REFUSED, str(failed))
            return await self._park(HoldName.CAPTURE_UNKNOWN, EventKind.CAPTURE_UNKNOWN, str(failed))
        finally:
            self._provider_task = None
        self._captured = True
        return None

    async def _park(self, hold: HoldName, kind: EventKind, reason: str) -> ShippingResult:
        result = await self._end(ShipmentStatus.PARKED, kind, reason)
        return result.model_copy(update={"hold": hold})

    async def _dispatch(self, shipment: ShippingInput) -> ShippingResult:
        arg = DispatchInput(
            order_id=shipment.order_id,
            shipment_attempt=shipment.attempt,
            items=shipment.items,
            address=self._address,
            customer=shipment.customer,
            event_key=self._event_key(),
        )
        booking = asyncio.create_task(self._steps.run(_DISPATCH, arg, shipment.policy.dispatch_carrier))
        self._provider_task = booking
        done = await booking
        self._attempts = done.attempt
        self._count("dispatch_carrier", done)
        # The booking can succeed while it is being voided: the result of the void decides.
        await workflow.wait_condition(lambda: not self._voids)
        if self._cancel_reason is not None:
            return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
        return ShippingResult(
            status=ShipmentStatus.DISPATCHED,
            carrier=done.booking.carrier,
            tracking_number=done.booking.tracking_number,
            attempts=done.attempt,
            retries=self._retries,
            captured=self._captured,
        )

    @workflow.signal(name=names.CHANGE_ADDRESS)
    async def change_address(self, *args: Any) -> None:
        """Change the address of the package, unless it is being dispatched."""
        change = self._read(AddressChange, args, names.CHANGE_ADDRESS)
        if change is None:
            return
        rejection = self._too_late()
        if rejection is None and self._dispatching:
            rejection = "the package is being dispatched"
        if rejection is None:
            self._address = change.address
        await self._answer(change.request, rejection)

    @workflow.signal(name=names.CANCEL_SHIPMENT)
    async def cancel_shipment(self, *args: Any) -> None:
        """Cancel the shipment, unless the package is dispatched."""
        cancel = self._read(ShipmentCancel, args, names.CANCEL_SHIPMENT)
        if cancel is None:
            return
        rejection = self._too_late()
        if rejection is None and self._dispatching:
            rejection = await self._void_booking()
        if rejection is None:
            self._cancel_reason = self._cancel_reason or truncate(cancel.reason)
            if self._provider_task is not None:
                # The booking is void, or the order voids the payment: further attempts would only delay the order.
                self._provider_task.cancel()
        await self._answer(cancel.request, rejection)

    def _read(self, model: type[Model], args: Sequence[Any], change: str) -> Model | None:
        """The argument of a signal; None if the start is rejected, or for one that can't be read, which is recorded."""
        try:
            value = read_one(model, args)
        except InputRejected as rejected:
            if self._rejected_start is None and len(self._rejected) < _MAX_REJECTED:
                self._rejected.append(self._event(EventKind.CHANGE_REJECTED, change=change, reason=str(rejected)))
            return None
        return value if self._rejected_start is None else None

    async def _record_rejected(self, result: ShippingResult) -> None:
        """Write the events of signals that could not be read."""
        failed = result.reason if result.status is ShipmentStatus.FAILED else None
        shipment = self._record(result.status, failed).model_copy(
            update={"carrier": result.carrier, "tracking_number": result.tracking_number}
        )
        arg = RecordShipmentInput(order_id=self._input.order_id, shipment=shipment, events=tuple(self._rejected))
        await self._steps.retry_forever(_RECORD, arg, self._input.policy.record)

    async def _void_booking(self) -> str | None:
        """Void the booking; returns the reason if the carrier has already dispatched the parcel."""
        arg = VoidBookingInput(order_id=self._input.order_id, shipment_attempt=self._input.attempt)
        self._voids += 1
        try:
            answer = await self._steps.retry_forever(_VOID, arg, self._input.policy.dispatch_carrier)
        finally:
            self._voids -= 1
        return "the package is already dispatched" if answer.state is BookingState.DISPATCHED else None

    def _too_late(self) -> str | None:
        return "the shipment has ended" if self._closed else None

    async def _answer(self, request: int, rejection: str | None) -> None:
        if self._parked:
            # The order itself takes the change once this workflow has ended.
            return
        answer = ShipmentAnswer(
            shipment_id=self._input.shipment_id, request=request, accepted=rejection is None, reason=rejection or ""
        )
        await self._signal_order(names.SHIPMENT_ANSWER, answer)

    async def _end(self, status: ShipmentStatus, kind: EventKind, reason: str) -> ShippingResult:
        arg = RecordShipmentInput(
            order_id=self._input.order_id,
            shipment=self._record(status, reason if status is ShipmentStatus.FAILED else None),
            events=(*self._conflicts, self._event(kind, reason=reason)),
        )
        await self._steps.retry_forever(_RECORD, arg, self._input.policy.record)
        return ShippingResult(
            status=status, attempts=self._attempts, retries=self._retries, reason=reason, captured=self._captured
        )

    async def _signal_order(self, name: str, arg: Any) -> bool:
        """Signal the order workflow; returns False if it is closed."""
        order = workflow.get_external_workflow_handle(names.order_workflow_id(self._input.order_id))
        try:
            await order.signal(name, arg)
        except ApplicationError:
            return False
        return True

    def _on_conflict(self, workflow_id: str) -> None:
        self._conflicts.append(self._event(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=workflow_id))

    def _record(self, status: ShipmentStatus, failed: str | None = None) -> ShipmentRecord:
        return ShipmentRecord(
            shipment_id=self._input.shipment_id,
            order_id=self._input.order_id,
            attempt=self._input.attempt,
            status=status,
            attempts=self._attempts,
            dispatch_failed_reason=failed,
        )

    def _event(self, kind: EventKind, **detail: Any) -> AuditEvent:
        return AuditEvent(
            key=self._event_key(),
            kind=kind,
            step=Step.SHIPPING,
            at=workflow.now(),
            detail={"shipment": self._input.shipment_id, **detail},
        )

    def _event_key(self) -> str:
        self._event_count += 1
        run = "" if self._input.run == 1 else f"/{self._input.run}"
        return f"{self._input.shipment_id}{run}/{self._event_count}"

    def _count(self, step: str, result: StepResult) -> None:
        if result.attempt > 1:
            self._retries[step] = self._retries.get(step, 0) + result.attempt - 1
