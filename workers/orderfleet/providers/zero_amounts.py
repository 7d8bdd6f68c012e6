"""A payment provider that is asked for no amount of 0: such a charge, capture, refund or void succeeds by itself.

This is the only place that decides it. It must be the outermost of the providers that wrap another one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

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
from orderfleet.providers.interfaces import PaymentProvider, PreparesPayments

NO_MONEY: Final = ""
"""Reference of what moved no money, which is stored as none."""


def without_zero_amounts(provider: PaymentProvider) -> PaymentProvider:
    """Return `provider` without its calls of amounts of 0. It prepares payments if `provider` does."""
    if isinstance(provider, PreparesPayments):
        return _PreparingZeroAmounts(provider, provider)
    return ZeroAmounts(provider)


class ZeroAmounts:
    """`PaymentProvider` that passes each call with an amount above 0 to `provider`."""

    def __init__(self, provider: PaymentProvider) -> None:
        self._provider = provider

    def limits(self, currency: str) -> AmountLimits:
        """What the provider asks of an amount of a currency."""
        return self._provider.limits(currency)

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Authorize and capture in one call, once."""
        return await self._provider.charge(payment) if payment.amount else Charge(reference=NO_MONEY)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Reserve the amount, once."""
        return await self._provider.authorize(payment) if payment.amount else Authorization(reference=NO_MONEY)

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Take money from an authorization, once."""
        return await self._provider.capture(capture) if capture.amount else Capture(reference=NO_MONEY)

    async def refund(self, refund: RefundIntent) -> Refund:
        """Return money that was captured, once."""
        return await self._provider.refund(refund) if refund.amount else Refund(reference=NO_MONEY)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization: it can never take money again."""
        return await self._provider.void(payment) if payment.amount else VoidOutcome.NEVER_CHARGED

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """What the provider has of a charge or an authorization."""
        return await self._provider.look_up(payment) if payment.amount else None

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Everything that was created or moved money in a time range, in any order."""
        async for each in self._provider.payments(since, until):
            yield each


class _PreparingZeroAmounts(ZeroAmounts):
    """`ZeroAmounts` of a provider that `PreparesPayments`."""

    def __init__(self, provider: PaymentProvider, prepares: PreparesPayments) -> None:
        super().__init__(provider)
        self._prepares = prepares

    async def prepare(self, payment: PaymentIntent, capture: CaptureMode) -> str:
        """Create the charge or the authorization without moving money."""
        return await self._prepares.prepare(payment, capture) if payment.amount else NO_MONEY
