"""Payment provider and carrier whose calls are measured. A call raises what the measured adapter raises."""

from __future__ import annotations

from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.observability.order_metrics import ProviderCallMetrics
from orderfleet.providers.interfaces import Carrier, PaymentProvider


class MeteredPayments:
    """`PaymentProvider` that passes each call to the metrics and to `provider`."""

    def __init__(self, provider: PaymentProvider, metrics: ProviderCallMetrics) -> None:
        self._provider = provider
        self._metrics = metrics

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge."""
        with self._metrics.call("charge"):
            return await self._provider.charge(payment)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged."""
        with self._metrics.call("void"):
            return await self._provider.void(payment)

    async def refund(self, payment: PaymentIntent) -> None:
        """Refund the whole charge, once."""
        with self._metrics.call("refund"):
            await self._provider.refund(payment)


class MeteredCarrier:
    """`Carrier` that passes each call to the metrics and to `carrier`."""

    def __init__(self, carrier: Carrier, metrics: ProviderCallMetrics) -> None:
        self._carrier = carrier
        self._metrics = metrics

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking."""
        with self._metrics.call("book"):
            return await self._carrier.book(key, parcel)

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Cancel the booking under `key`, unless its parcel is already dispatched."""
        with self._metrics.call("void_booking"):
            return await self._carrier.void_booking(key, attempt)
