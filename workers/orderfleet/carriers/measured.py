"""A carrier that is watched: each call goes through an observer. The shipping worker puts it around its own."""

from __future__ import annotations

from orderfleet.contracts.shipping import Booking, BookingState, Parcel
from orderfleet.observers import CallObserver
from orderfleet.ports import Carrier


class MeasuredCarrier:
    """Implements `Carrier` by another one; raises what that one raises."""

    def __init__(self, carrier: Carrier, observer: CallObserver) -> None:
        self._carrier = carrier
        self._observer = observer

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking."""
        with self._observer.call("book"):
            return await self._carrier.book(key, parcel)

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Take back what is booked under `key`, unless its parcel is already dispatched."""
        with self._observer.call("void_booking"):
            return await self._carrier.void_booking(key, attempt)
