"""`ShippingWorkflow`: one shipment, from preparing the package to handing it to the carrier.

A child of the order's workflow that outlives it. It takes another address or a cancel until it
schedules `dispatch_carrier`; from then on an address is refused and a cancel is asked of the
carrier. It answers its order by signal; its result is what counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel
    from temporalio.exceptions import ActivityError, ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.activities import (
        DispatchInput,
        DispatchResult,
        PrepareInput,
        RecordShipmentInput,
        StepResult,
        VoidBookingInput,
        VoidBookingResult,
    )
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import AuditEvent, EventKind
    from orderfleet.domain.inputs import InputRejected, read_one
    from orderfleet.domain.shipment import (
        AddressChange,
        BookingState,
        DispatchFailed,
        Parcel,
        ShipmentAnswer,
        ShipmentCancel,
        ShipmentRecord,
        ShippingInput,
        ShippingResult,
    )
    from orderfleet.domain.status import ShipmentStatus, Step
    from orderfleet.shipping.activities import ShippingActivities

from orderfleet.shipping.parent import Parent
from orderfleet.temporal.starts import read_start
from orderfleet.temporal.step_runner import ActivityRef, StepFailed, StepRunner

_PREPARE = ActivityRef(ShippingActivities.prepare_package, StepResult)
_DISPATCH = ActivityRef(ShippingActivities.dispatch_carrier, DispatchResult)
_RECORD = ActivityRef(ShippingActivities.record_shipment, StepResult)
_VOID = ActivityRef(ShippingActivities.void_booking, VoidBookingResult)

_MOST_REJECTED: Final = 100
"""Rejected signals that a shipment records: a client that sends without end must not fill its history."""

Model = TypeVar("Model", bound=BaseModel)


@workflow.defn(name=names.SHIPPING_WORKFLOW)
class ShippingWorkflow:
    """One shipment."""

    @workflow.init
    def __init__(self, *args: Any) -> None:
        self._refused: ApplicationError | None = None
        self._rejected: list[AuditEvent] = []
        """Signals that could not be read; recorded with the end."""
        self._event_count = 0
        try:
            given = read_start(ShippingInput, args, lambda given: given.shipment_id)
        except ApplicationError as refused:
            # Only `run` can fail the workflow. Signals may come before it.
            self._refused = refused
            return
        self._given = given
        self._order = Parent(given)
        self._address = given.address
        self._cancel_reason: str | None = None
        self._dispatching = False
        self._dispatch_under_way: asyncio.Task[DispatchResult] | None = None
        self._asking_carrier = 0
        self._over = False
        self._last_error: str | None = None
        self._retries: dict[str, int] = {}
        self._attempts = 0
        self._conflicts: list[AuditEvent] = []
        self._steps = StepRunner(given.policy.outage, self._on_error)

    @workflow.run
    async def run(self, *args: Any) -> ShippingResult:  # noqa: ARG002 - read in __init__
        """Ship, and answer how it ended.

        Raises:
            ApplicationError: its start is refused; the message says why.
        """
        if self._refused is not None:
            raise self._refused
        result = await self._ship(self._given)
        self._over = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._rejected:
            await self._record_rejected(result)
        return result

    async def _ship(self, given: ShippingInput) -> ShippingResult:
        try:
            await self._prepare(given)
            if self._cancel_reason is not None:
                return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
            # From here on no other address is taken: what is scheduled now goes where it says.
            self._dispatching = True
            return await self._dispatch(given)
        except StepFailed as failed:
            if self._cancel_reason is not None:
                return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
            if self._dispatching:
                self._attempts = failed.attempts
            why = str(failed)
        except (ActivityError, asyncio.CancelledError):
            if self._cancel_reason is None:
                raise
            return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
        told = DispatchFailed(shipment_id=given.shipment_id, reason=why)
        if not await self._order.tell(names.DISPATCH_FAILED, told) and await self._ask_carrier() is None:
            # The order was ended from outside: nobody else takes the booking back and owes the refund.
            await self._order.owe_refund("dispatch failed", self._steps, self._on_conflict)
        return await self._end(ShipmentStatus.FAILED, EventKind.DISPATCH_FAILED, why)

    async def _prepare(self, given: ShippingInput) -> None:
        """Prepare the package; again, as long as the address changes meanwhile."""
        prepared = None
        while prepared != self._address and self._cancel_reason is None:
            prepared = self._address
            arg = PrepareInput(
                order_id=given.order_id,
                shipment=self._record(ShipmentStatus.PREPARED),
                events=(self._event(EventKind.PACKAGE_PREPARED),),
            )
            # It touches nothing but the record. Shipments that began before this was so go on as they began.
            run = self._steps.run_locally if workflow.patched("prepared-locally") else self._steps.run
            self._count("prepare_package", await run(_PREPARE, arg, given.policy.prepare_package))

    async def _dispatch(self, given: ShippingInput) -> ShippingResult:
        arg = DispatchInput(
            order_id=given.order_id,
            parcel=Parcel(
                order_id=given.order_id,
                shipment_id=given.shipment_id,
                attempt=given.attempt,
                items=given.items,
                address=self._address,
                customer=given.customer,
            ),
            shipment=self._record(ShipmentStatus.PREPARED),
            dispatched=self._event(EventKind.DISPATCHED),
        )
        self._dispatch_under_way = asyncio.create_task(self._steps.run(_DISPATCH, arg, given.policy.dispatch_carrier))
        done = await self._dispatch_under_way
        self._attempts = done.attempt
        self._count("dispatch_carrier", done)
        # A booking that is being taken back may be answered first: the carrier's later word decides.
        await workflow.wait_condition(lambda: not self._asking_carrier)
        if self._cancel_reason is not None:
            return await self._end(ShipmentStatus.CANCELED, EventKind.CANCELED, self._cancel_reason)
        return ShippingResult(
            shipment_id=given.shipment_id,
            status=ShipmentStatus.DISPATCHED,
            carrier=done.booking.carrier,
            tracking_number=done.booking.tracking_number,
            attempts=done.attempt,
            retries=self._retries,
        )

    @workflow.signal(name=names.CHANGE_ADDRESS)
    async def change_address(self, *args: Any) -> None:
        """The order wants the package to go elsewhere."""
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
        """The order does not want the package to go."""
        cancel = self._read(ShipmentCancel, args, names.CANCEL_SHIPMENT)
        if cancel is None:
            return
        rejection = self._too_late()
        if rejection is None and self._dispatching:
            rejection = await self._ask_carrier()
        if rejection is None:
            self._cancel_reason = self._cancel_reason or truncate(cancel.reason)
            if self._dispatch_under_way is not None:
                # It can't book any more: its further attempts would only keep the order waiting.
                self._dispatch_under_way.cancel()
        await self._answer(cancel.request, rejection)

    def _read(self, model: type[Model], args: Sequence[Any], change: str) -> Model | None:
        """What a signal carries; None for one that can't be read, which is recorded, or of a start that is refused."""
        try:
            value = read_one(model, args)
        except InputRejected as rejected:
            if self._refused is None and len(self._rejected) < _MOST_REJECTED:
                self._rejected.append(self._event(EventKind.CHANGE_REJECTED, change=change, reason=str(rejected)))
            return None
        return value if self._refused is None else None

    async def _record_rejected(self, result: ShippingResult) -> None:
        """Record the signals that could not be read, beside the shipment as it ended."""
        failed = result.reason if result.status is ShipmentStatus.FAILED else None
        shipment = self._record(result.status, failed).model_copy(
            update={"carrier": result.carrier, "tracking_number": result.tracking_number}
        )
        arg = RecordShipmentInput(order_id=self._given.order_id, shipment=shipment, events=tuple(self._rejected))
        policy = self._given.policy
        await self._steps.retry_forever(_RECORD, arg, policy.record, policy.retry_forever_backoff)

    async def _ask_carrier(self) -> str | None:
        """Take the booking back while it is being made: only the carrier knows whether it left."""
        arg = VoidBookingInput(order_id=self._given.order_id, shipment_attempt=self._given.attempt)
        policy = self._given.policy
        self._asking_carrier += 1
        try:
            answer = await self._steps.retry_forever(_VOID, arg, policy.dispatch_carrier, policy.retry_forever_backoff)
        finally:
            self._asking_carrier -= 1
        return "the package is already dispatched" if answer.state is BookingState.DISPATCHED else None

    def _too_late(self) -> str | None:
        return "the shipment has ended" if self._over else None

    async def _answer(self, request: int, rejection: str | None) -> None:
        answer = ShipmentAnswer(
            shipment_id=self._given.shipment_id, request=request, accepted=rejection is None, reason=rejection or ""
        )
        await self._order.tell(names.SHIPMENT_ANSWER, answer)

    async def _end(self, status: ShipmentStatus, kind: EventKind, why: str) -> ShippingResult:
        arg = RecordShipmentInput(
            order_id=self._given.order_id,
            shipment=self._record(status, why if status is ShipmentStatus.FAILED else None),
            events=(*self._conflicts, self._event(kind, reason=why)),
        )
        policy = self._given.policy
        await self._steps.retry_forever(_RECORD, arg, policy.record, policy.retry_forever_backoff)
        return ShippingResult(
            shipment_id=self._given.shipment_id,
            status=status,
            attempts=self._attempts,
            retries=self._retries,
            reason=why,
        )

    def _on_conflict(self, workflow_id: str) -> None:
        self._conflicts.append(self._event(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=workflow_id))

    def _record(self, status: ShipmentStatus, failed: str | None = None) -> ShipmentRecord:
        return ShipmentRecord(
            shipment_id=self._given.shipment_id,
            order_id=self._given.order_id,
            attempt=self._given.attempt,
            status=status,
            attempts=self._attempts,
            dispatch_failed_reason=failed,
        )

    def _event(self, kind: EventKind, **detail: Any) -> AuditEvent:
        self._event_count += 1
        return AuditEvent(
            key=f"{self._given.shipment_id}/{self._event_count}",
            kind=kind,
            step=Step.SHIPPING,
            at=workflow.now(),
            detail={"shipment": self._given.shipment_id, **detail},
        )

    def _count(self, step: str, result: StepResult) -> None:
        if result.attempt > 1:
            self._retries[step] = self._retries.get(step, 0) + result.attempt - 1

    def _on_error(self, text: str) -> None:
        self._last_error = text
