"""The shipping worker's activities: prepare, dispatch, record, take back a booking.

Called by the shipping workflow, and by the order workflow for `void_booking`. They talk to the
record and the carrier only. Each is idempotent.
"""

from __future__ import annotations

from temporalio import activity

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
from orderfleet.domain.ports import ShipmentStore
from orderfleet.domain.status import ShipmentStatus
from orderfleet.providers.interfaces import Carrier
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of


class ShippingActivities:
    """The activities, over the record and the carrier."""

    def __init__(self, store: ShipmentStore, carrier: Carrier) -> None:
        self._store = store
        self._carrier = carrier

    @activity.defn(name="prepare_package")
    async def prepare_package(self, step: PrepareInput) -> StepResult:
        """Prepare the package for its address and record it; one round trip."""
        await self._store.record_shipment(step.shipment, step.events)
        return StepResult(attempt=attempt_of(step))

    @activity.defn(name="dispatch_carrier")
    async def dispatch_carrier(self, step: DispatchInput) -> DispatchResult:
        """Hand the parcel to the carrier under the order's booking key; one round trip."""
        clock = AttemptClock()
        booking = await self._carrier.book(names.booking_key(step.order_id), step.parcel)
        attempt = attempt_of(step)
        detail = {**step.dispatched.detail, "carrier": booking.carrier, "tracking_number": booking.tracking_number}
        await self._store.record_shipment(
            step.shipment.model_copy(
                update={
                    "status": ShipmentStatus.DISPATCHED,
                    "carrier": booking.carrier,
                    "tracking_number": booking.tracking_number,
                    "attempts": attempt,
                }
            ),
            [step.dispatched.model_copy(update={"at": clock.now(), "detail": detail})],
        )
        return DispatchResult(attempt=attempt, booking=booking)

    @activity.defn(name="record_shipment")
    async def record_shipment(self, step: RecordShipmentInput) -> StepResult:
        """Record how a shipment stands; one round trip."""
        await self._store.record_shipment(step.shipment, step.events)
        return StepResult(attempt=attempt_of(step))

    @activity.defn(name="void_booking")
    async def void_booking(self, step: VoidBookingInput) -> VoidBookingResult:
        """Take the booking back unless its parcel is on its way; no round trip to the record."""
        state, booking = await self._carrier.void_booking(names.booking_key(step.order_id), step.shipment_attempt)
        return VoidBookingResult(attempt=attempt_of(step), state=state, booking=booking)
