"""Payment providers and carriers whose calls are measured: each one passes its call on, and raises what it raises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    AmountLimits,
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    ProviderPayment,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.observability.order_metrics import ProviderCallMetrics
from orderfleet.providers.interfaces import Carrier, PaymentProvider, PreparesPayments


def metered_payments(provider: PaymentProvider, metrics: ProviderCallMetrics) -> PaymentProvider:
    """Return `provider` with its calls measured. It prepares payments if `provider` does."""
    if isinstance(provider, PreparesPayments):
        return _MeteredPreparingPayments(provider, metrics, provider)
    return MeteredPayments(provider, metrics)


class MeteredPayments:
    """`PaymentProvider` that passes each call to the metrics and to `provider`, and raises what it raises."""

    def __init__(self, provider: PaymentProvider, metrics: ProviderCallMetrics) -> None:
        self._provider = provider
        self._metrics = metrics

    def limits(self, currency: str) -> AmountLimits:
        """What the provider asks of an amount of a currency."""
        return self._provider.limits(currency)

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Authorize and capture in one call, once."""
        with self._metrics.call("charge"):
            return await self._provider.charge(payment)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Reserve the amount, once."""
        with self._metrics.call("authorize"):
            return await self._provider.authorize(payment)

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Take money from an authorization, once."""
        with self._metrics.call("capture"):
            return await self._provider.capture(capture)

    async def refund(self, refund: RefundIntent) -> Refund:
        """Return money that was captured, once."""
        with self._metrics.call("refund"):
            return await self._provider.refund(refund)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization: it can never take money again."""
        with self._metrics.call("void"):
            return await self._provider.void(payment)

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """What the provider has of a charge or an authorization."""
        with self._metrics.call("look_up"):
            return await self._provider.look_up(payment)

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Everything that was created or moved money in a time range, in any order."""
        found = self._metrics.iteration("payments", self._provider.payments(since, until))
        async with aclosing(found):  # A caller that stops early ends the measurement.
            async for each in found:
                yield each


class _MeteredPreparingPayments(MeteredPayments):
    """`MeteredPayments` of a provider that `PreparesPayments`."""

    def __init__(self, provider: PaymentProvider, metrics: ProviderCallMetrics, prepares: PreparesPayments) -> None:
        super().__init__(provider, metrics)
        self._prepares = prepares

    async def prepare(self, payment: PaymentIntent, capture: CaptureMode) -> str:
        """Create the charge or the authorization without moving money."""
        with self._metrics.call("prepare"):
            return await self._prepares.prepare(payment, capture)


class MeteredCarrier:
    """`Carrier` that passes each call to the metrics and to `carrier`, and raises what it raises."""

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
