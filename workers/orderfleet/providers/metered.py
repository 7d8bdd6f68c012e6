"""A payment provider that is watched: each call goes through an observer. The order worker puts it around its own."""

from __future__ import annotations

from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.domain.ports import Carrier, PaymentProvider
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.observability.observers import ProviderCallObserver


class MeteredPayments:
    """Implements `PaymentProvider` by another one; raises what that one raises."""

    def __init__(self, provider: PaymentProvider, observer: ProviderCallObserver) -> None:
        self._provider = provider
        self._observer = observer

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge."""
        with self._observer.call("charge"):
            return await self._provider.charge(payment)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Make sure the payment id can never charge again; give back what it had charged."""
        with self._observer.call("void"):
            return await self._provider.void(payment)

    async def refund(self, payment: PaymentIntent) -> None:
        """Give back the whole charge, once."""
        with self._observer.call("refund"):
            await self._provider.refund(payment)


class MeteredCarrier:
    """Implements `Carrier` by another one; raises what that one raises."""

    def __init__(self, carrier: Carrier, observer: ProviderCallObserver) -> None:
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
