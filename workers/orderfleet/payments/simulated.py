"""The simulated payment provider: for development, demos and tests. Implements `PaymentProvider`.

It behaves as a good provider does: idempotent by payment id, and what it charged stands whether or
not anybody heard the answer. A payment id that begins with `refuse-` is refused. It must never be
the provider of a fleet that takes real money.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from orderfleet.contracts.errors import PaymentRefused, ProviderUnavailable
from orderfleet.contracts.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.ledger import LedgerBusy
from orderfleet.payments.ledger import PaymentLedger

REFUSED_PREFIX: Final = "refuse-"
"""Payment ids that are always refused, so that a refusal can be shown."""


class SimulatedPayments:
    """A payment provider with books of its own.

    Args:
        ledger: file of the books; None keeps them in memory.
        latency: between doing what was asked and answering, as a lost answer is the harder case.
    """

    def __init__(self, *, ledger: Path | None = None, latency: timedelta = timedelta(0)) -> None:
        self.ledger = PaymentLedger(ledger)
        self._latency = latency.total_seconds()

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge.

        Raises:
            PaymentRefused: the id begins with `refuse-`, or was charged with another amount.
            PaymentVoided: the id was voided.
            ProviderUnavailable: the books could not be had.
        """
        with _available():
            await self.ledger.called("charge", payment)
            if payment.payment_id.startswith(REFUSED_PREFIX):
                await asyncio.sleep(self._latency)
                raise PaymentRefused(f"payment {payment.payment_id} was refused: its id begins with {REFUSED_PREFIX!r}")
            reference = await self.ledger.charge(payment)
        await asyncio.sleep(self._latency)
        return Charge(reference=reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Make sure the payment id can never charge again; give back what it had charged."""
        with _available():
            await self.ledger.called("void", payment)
            outcome = await self.ledger.void(payment)
        await asyncio.sleep(self._latency)
        return outcome

    async def refund(self, payment: PaymentIntent) -> None:
        """Give back the whole charge, once.

        Raises:
            PaymentRefused: there never was a charge.
        """
        with _available():
            await self.ledger.called("refund", payment)
            await self.ledger.refund(payment)
        await asyncio.sleep(self._latency)


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except LedgerBusy as error:
        raise ProviderUnavailable(str(error)) from error
