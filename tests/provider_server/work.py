"""What the provider server does for each path, and the good answer to it: the contract in `deploy/docs/providers.md`.

The books are those of the simulated adapters, so that whoever counts charges and parcels reads one format.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from orderfleet.domain.errors import BookingVoided, PaymentRefused, PaymentVoided
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.shipment import Parcel
from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.payments.simulated import PaymentLedger

Said = tuple[int, dict[str, Any]]

NEVER = timedelta(hours=1)


class Work:
    """A good provider and a good carrier.

    Args:
        ledger: file of their books.
        held_back: share of the parcels that do not leave at once, and so can be taken back.
    """

    def __init__(self, ledger: Path, held_back: float = 0.0) -> None:
        self._payments, self._parcels = PaymentLedger(ledger), CarrierLedger(ledger)
        self._held_back = held_back
        self.by_path: Mapping[str, Callable[[dict[str, Any]], Awaitable[Said]]] = {
            "/charges": self._charge,
            "/voids": self._void,
            "/refunds": self._refund,
            "/bookings": self._book,
            "/booking-voids": self._void_booking,
        }

    async def _charge(self, asked: dict[str, Any]) -> Said:
        payment = _payment(asked)
        if payment.payment_id.startswith("refuse-"):
            return _no(402, "payment_id", asked, "card declined")
        try:
            reference = await self._payments.charge(payment)
        except PaymentVoided as error:
            return _no(410, "payment_id", asked, str(error))
        except PaymentRefused as error:
            return _no(422, "payment_id", asked, str(error))
        return 200, {**_money(asked), "status": "charged", "reference": reference}

    async def _void(self, asked: dict[str, Any]) -> Said:
        outcome = await self._payments.void(_payment(asked))
        return 200, {"payment_id": asked["payment_id"], "outcome": outcome}

    async def _refund(self, asked: dict[str, Any]) -> Said:
        try:
            await self._payments.refund(_payment(asked))
        except PaymentRefused as error:
            return _no(422, "payment_id", asked, str(error))
        return 200, {**_money(asked), "status": "refunded"}

    async def _book(self, asked: dict[str, Any]) -> Said:
        parcel, key = Parcel.model_validate(asked), asked["key"]
        if any(item.sku.startswith("refuse-dispatch") for item in parcel.items):
            return _no(422, "key", asked, "address unknown")
        leaves_in = NEVER if random.Random(key).random() < self._held_back else timedelta(0)
        try:
            booking = await self._parcels.book(key, parcel, carrier="test", leaves_in=leaves_in)
        except BookingVoided as error:
            return _no(410, "key", asked, str(error))
        return 200, {"key": key, **booking.model_dump()}

    async def _void_booking(self, asked: dict[str, Any]) -> Said:
        state, booking = await self._parcels.void(asked["key"], asked["attempt"])
        told = {} if booking is None else {"booking": booking.model_dump()}
        return 200, {**asked, "state": state, **told}


def key_of(path: str, asked: dict[str, Any]) -> str:
    """The idempotency key that a call has to carry."""
    match path:
        case "/charges":
            return asked["payment_id"]
        case "/voids":
            return f"{asked['payment_id']}/void"
        case "/refunds":
            return f"{asked['payment_id']}/refund"
        case "/bookings":
            return asked["key"]
    return f"{asked['key']}/void/{asked['attempt']}"


def _payment(asked: dict[str, Any]) -> PaymentIntent:
    return PaymentIntent.model_validate({**asked, "amount": Decimal(asked["amount"])})


def _money(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: asked[name] for name in ("payment_id", "amount", "currency")}


def _no(status: int, name: str, asked: dict[str, Any], detail: str) -> Said:
    return status, {name: asked[name], "detail": detail}
