"""The simulated carrier: for development, demos and tests. Implements `Carrier`.

It behaves as a good carrier does: idempotent by booking key, and a parcel it took has left whether
or not anybody heard the answer. An item whose SKU begins with `refuse-dispatch` is refused. It must
never be the carrier of a fleet that ships real parcels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from orderfleet.carriers.ledger import CarrierLedger
from orderfleet.contracts.errors import CarrierRefused, CarrierUnavailable
from orderfleet.contracts.shipping import Booking, BookingState, Parcel
from orderfleet.ledger import LedgerBusy

CARRIER_NAME: Final = "simulated"
REFUSED_SKU_PREFIX: Final = "refuse-dispatch"
"""Items that are never taken, so that a failing dispatch can be shown."""


class SimulatedCarrier:
    """A carrier with books of its own.

    Args:
        ledger: file of the books; None keeps them in memory.
        latency: between doing what was asked and answering, as a lost answer is the harder case.
        leaves_in: how long a booked parcel waits before it leaves and can't be voided any more.
    """

    def __init__(
        self,
        *,
        ledger: Path | None = None,
        latency: timedelta = timedelta(0),
        leaves_in: timedelta = timedelta(0),
    ) -> None:
        self.ledger = CarrierLedger(ledger)
        self._latency = latency.total_seconds()
        self._leaves_in = leaves_in

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking.

        Raises:
            CarrierRefused: an item is never taken.
            BookingVoided: the parcel's attempt was voided.
            CarrierUnavailable: the books could not be had.
        """
        with _available():
            await self.ledger.called("book", key)
            refused = [item.sku for item in parcel.items if item.sku.startswith(REFUSED_SKU_PREFIX)]
            if refused:
                await asyncio.sleep(self._latency)
                raise CarrierRefused(f"the carrier doesn't take {refused[0]!r}")
            booking = await self.ledger.book(key, parcel, carrier=CARRIER_NAME, leaves_in=self._leaves_in)
        await asyncio.sleep(self._latency)
        return booking

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Take back the booking unless its parcel has left; close the key for `attempt` and those before it."""
        with _available():
            await self.ledger.called("void_booking", key)
            answer = await self.ledger.void(key, attempt)
        await asyncio.sleep(self._latency)
        return answer


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except LedgerBusy as error:
        raise CarrierUnavailable(str(error)) from error
