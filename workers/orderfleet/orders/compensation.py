"""`CompensationWorkflow`: undoes and ends one orphaned order.

A workflow that is terminated or times out runs no compensation. The orphan sweep starts this one in its place: it
voids the booking unless the parcel is dispatched, voids or refunds the payment, and records the end. Each of these
is tried until it is done.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts import names
    from orderfleet.contracts.orphans import Compensation, RecordCompensationInput
    from orderfleet.contracts.record import AuditEvent, EventKind
    from orderfleet.contracts.shipping import Booking, BookingState, ShipmentRecord
    from orderfleet.contracts.status import ShipmentStatus, Step
    from orderfleet.contracts.steps import (
        RecordShipmentInput,
        StepResult,
        VoidBookingInput,
        VoidBookingResult,
        VoidInput,
        VoidResult,
    )
    from orderfleet.orders.activities import OrderActivities
    from orderfleet.orders.maintenance import MaintenanceActivities

from orderfleet.steps.running import Activity, StepRunner

_VOID = Activity(OrderActivities.void_payment, VoidResult)
_RECORD = Activity(MaintenanceActivities.record_compensation, StepResult)


@workflow.defn(name=names.COMPENSATION_WORKFLOW)
class CompensationWorkflow:
    """Compensates one order."""

    @workflow.init
    def __init__(self, compensation: Compensation) -> None:
        self._orphan = compensation.orphan
        self._policy = compensation.policy
        self._last_error: str | None = None
        self._steps = StepRunner(compensation.policy.outage, self._on_error)

    @workflow.run
    async def run(self, compensation: Compensation) -> None:
        """Compensate the order; it ends shipped or failed."""
        orphan = self._orphan
        booking = await self._void_booking()
        reason = f"its workflow was ended from outside ({orphan.how})"
        if booking is None:
            void = VoidInput(order_id=orphan.order_id, payment=orphan.payment, events=(self._voided(),))
            await self._steps.run_until_done(_VOID, void, self._policy.refund, self._policy.owed)
        end = RecordCompensationInput(
            order_id=orphan.order_id,
            shipped=booking is not None,
            reason=reason,
            at=workflow.now(),
            conflicts=compensation.conflicts,
        )
        await self._steps.run_until_done(_RECORD, end, self._policy.record, self._policy.owed)

    @workflow.query
    def last_error(self) -> str | None:
        """Why the order is not compensated yet."""
        return self._last_error

    async def _void_booking(self) -> Booking | None:
        """Void every booking that can still be made; the booking of a parcel that is dispatched."""
        queue = self._policy.shipping_task_queue
        # A shipment that has begun but is not recorded may not book either.
        attempt = max(self._orphan.shipments, self._policy.shipping_attempts)
        void: Activity[VoidBookingInput, VoidBookingResult] = Activity("void_booking", VoidBookingResult, queue)
        arg = VoidBookingInput(order_id=self._orphan.order_id, shipment_attempt=attempt)
        found = await self._steps.run_until_done(void, arg, self._policy.dispatch_carrier, self._policy.owed)
        if found.state is not BookingState.DISPATCHED or found.booking is None:
            return None
        record: Activity[RecordShipmentInput, StepResult] = Activity("record_shipment", StepResult, queue)
        await self._steps.run_until_done(record, self._shipment(found.booking), self._policy.record, self._policy.owed)
        return found.booking

    def _shipment(self, booking: Booking) -> RecordShipmentInput:
        attempt = max(self._orphan.shipments, 1)
        return RecordShipmentInput(
            order_id=self._orphan.order_id,
            shipment=ShipmentRecord(
                shipment_id=names.shipment_id(self._orphan.order_id, attempt),
                order_id=self._orphan.order_id,
                attempt=attempt,
                status=ShipmentStatus.DISPATCHED,
                carrier=booking.carrier,
                tracking_number=booking.tracking_number,
            ),
            events=(),
        )

    def _voided(self) -> AuditEvent:
        detail = {"payment": self._orphan.payment.payment_id}
        return AuditEvent(
            key="compensated-payment", kind=EventKind.PAYMENT_VOIDED, step=Step.CHARGE, at=workflow.now(), detail=detail
        )

    def _on_error(self, text: str) -> None:
        self._last_error = text
