"""`SettleWorkflow`: undo and end one order whose own workflow was ended from outside.

Terminating a workflow runs no compensation. The sweep starts this one in its place: the booking is
taken back unless the parcel is on its way, the payment made impossible or given back, the end
recorded. Each of these is owed, and tried until it is done.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts import names
    from orderfleet.contracts.record import AuditEvent, EventKind
    from orderfleet.contracts.settle import SettleInput, Settlement
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
    from orderfleet.orders.upkeep import UpkeepActivities

from orderfleet.steps.running import Activity, StepRunner
from orderfleet.steps.starts import read_start

_VOID = Activity(OrderActivities.void_payment, VoidResult)
_RECORD = Activity(UpkeepActivities.settle_record, StepResult)


@workflow.defn(name=names.SETTLE_WORKFLOW)
class SettleWorkflow:
    """Settles one order."""

    def __init__(self) -> None:
        self._last_error: str | None = None

    @workflow.run
    async def run(self, *args: Any) -> None:
        """Settle it; the order ends shipped or failed.

        Raises:
            ApplicationError: its start is refused; the message says why.
        """
        settlement = read_start(Settlement, args, lambda given: names.settle_workflow_id(given.orphan.order_id))
        orphan = self._orphan = settlement.orphan
        self._policy = settlement.policy
        self._steps = StepRunner(settlement.policy.outage, self._trouble)
        booking = await self._take_back_booking()
        reason = f"its workflow was ended from outside ({orphan.how})"
        if booking is None:
            void = VoidInput(order_id=orphan.order_id, payment=orphan.payment, events=(self._voided(),))
            await self._steps.run_until_done(_VOID, void, self._policy.refund, self._policy.owed)
        end = SettleInput(order_id=orphan.order_id, shipped=booking is not None, reason=reason, at=workflow.now())
        await self._steps.run_until_done(_RECORD, end, self._policy.record, self._policy.owed)

    @workflow.query
    def last_error(self, *_args: Any) -> str | None:
        """Why it is not settled yet."""
        return self._last_error

    async def _take_back_booking(self) -> Booking | None:
        """Make sure that no shipment can go any more; the booking of one that is on its way."""
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
            key="settled-payment", kind=EventKind.PAYMENT_VOIDED, step=Step.CHARGE, at=workflow.now(), detail=detail
        )

    def _trouble(self, text: str) -> None:
        self._last_error = text
