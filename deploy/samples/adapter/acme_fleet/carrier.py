"""A carrier whose parcels leave at once."""

from orderfleet.domain.errors import BookingVoided
from orderfleet.domain.shipment import Booking, BookingState, Parcel


class AcmeCarrier:
    """Keeps a dictionary; yours calls a carrier, which keeps the bookings."""

    def __init__(self) -> None:
        self._bookings: dict[str, Booking] = {}
        self._voided: dict[str, int] = {}

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch a parcel, once for each key."""
        if self._voided.get(key, 0) >= parcel.attempt:
            raise BookingVoided(f"shipment {parcel.attempt} under {key} was voided")
        return self._bookings.setdefault(key, Booking(carrier="acme", tracking_number=f"ACME-{key}"))

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Reject this shipment and earlier ones from now on, unless a parcel left."""
        if key in self._bookings:
            return BookingState.DISPATCHED, self._bookings[key]
        self._voided[key] = max(self._voided.get(key, 0), attempt)
        return BookingState.NONE, None
