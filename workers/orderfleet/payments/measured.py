"""A payment provider that is watched: each call goes through an observer. The order worker puts it around its own."""

from __future__ import annotations

from orderfleet.contracts.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.observers import CallObserver
from orderfleet.ports import PaymentProvider


class MeasuredPayments:
    """Implements `PaymentProvider` by another one; raises what that one raises."""

    def __init__(self, provider: PaymentProvider, observer: CallObserver) -> None:
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
