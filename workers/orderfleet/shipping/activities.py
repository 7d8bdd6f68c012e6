"""Activities of the shipping worker: prepare, dispatch, record, void a booking.

They use the order store and the carrier, and must never use Kubernetes or a Temporal client. Each is idempotent.
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
from orderfleet.providers.interfaces import Carrier
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of


class ShippingActivities:
    """Activities on the order store and the carrier.

    Args:
        store: the order store.
        carrier: the carrier.
    """

    def __init__(self, store: ShipmentStore, carrier: Carrier) -> None:
        self._store = store
        self._carrier = carrier

    @activity.defn(name="prepare_package")
    async def prepare_package(self, step: PrepareInput) -> StepResult:
        """Record the package as prepared for its address; one round trip."""
        await self._store.record_shipment(step.shipment, step.events)
        return StepResult(attempt=attempt_of(step))

    @activity.defn(name="dispatch_carrier")
    async def dispatch_carrier(self, step: DispatchInput) -> DispatchResult:
        """Book the parcel under the order's booking key and record the booking; one round trip.

        Raises:
            CarrierRefused: the carrier refuses the booking; no further attempt is made.
        """
        clock = AttemptClock()
        booking = await self._carrier.book(names.booking_key(step.order_id), step.parcel)
        attempt = attempt_of(step)
        shipment, event = step.dispatched(booking, attempt, clock.now())
        await self._store.record_shipment(shipment, [event])
        return DispatchResult(attempt=attempt, booking=booking)

    @activity.defn(name="record_shipment")
    async def record_shipment(self, step: RecordShipmentInput) -> StepResult:
        """Record the status of a shipment; one round trip."""
        await self._store.record_shipment(step.shipment, step.events)
        return StepResult(attempt=attempt_of(step))

    @activity.defn(name="void_booking")
    async def void_booking(self, step: VoidBookingInput) -> VoidBookingResult:
        """Void the booking unless its parcel is dispatched; no round trip to the order store."""
        state, booking = await self._carrier.void_booking(names.booking_key(step.order_id), step.shipment_attempt)
        return VoidBookingResult(attempt=attempt_of(step), state=state, booking=booking)
