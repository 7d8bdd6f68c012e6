"""The work of the provider server for each path, and its valid answer: the contract in `deploy/docs/providers.md`.

The ledger is that of the simulated adapters, so tests count charges and parcels in one format.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from orderfleet.domain.errors import BookingVoided, PaymentRefused, PaymentVoided
from orderfleet.domain.payment import PaymentIntent, RefundIntent
from orderfleet.domain.shipment import Parcel
from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.payments.simulated import SimulatedPayments

Reply = tuple[int, dict[str, Any]]

NEVER = timedelta(hours=1)


class Work:
    """A payment provider and a carrier without faults.

    Args:
        ledger: file of their ledger.
        held_back: share of the parcels that do not leave at once, and so can be voided.
    """

    def __init__(self, ledger: Path, held_back: float = 0.0) -> None:
        self._payments, self._parcels = SimulatedPayments(ledger=ledger), CarrierLedger(ledger)
        self._held_back = held_back
        self.by_path: Mapping[str, Callable[[dict[str, Any]], Awaitable[Reply]]] = {
            "/charges": self._charge,
            "/voids": self._void,
            "/refunds": self._refund,
            "/bookings": self._book,
            "/booking-voids": self._void_booking,
        }

    async def _charge(self, body: dict[str, Any]) -> Reply:
        payment = _payment(body)
        if payment.payment_id.startswith("refuse-"):
            return _rejection(402, "payment_id", body, "card declined")
        try:
            reference = (await self._payments.charge(payment)).reference
        except PaymentVoided as error:
            return _rejection(410, "payment_id", body, str(error))
        except PaymentRefused as error:
            return _rejection(422, "payment_id", body, str(error))
        return 200, {**_money(body), "status": "charged", "reference": reference}

    async def _void(self, body: dict[str, Any]) -> Reply:
        outcome = await self._payments.void(_payment(body))
        return 200, {"payment_id": body["payment_id"], "outcome": outcome}

    async def _refund(self, body: dict[str, Any]) -> Reply:
        try:
            payment = _payment(body)
            await self._payments.refund(RefundIntent(payment=payment, refund_id="order", amount=payment.amount))
        except PaymentRefused as error:
            return _rejection(422, "payment_id", body, str(error))
        return 200, {**_money(body), "status": "refunded"}

    async def _book(self, body: dict[str, Any]) -> Reply:
        parcel, key = Parcel.model_validate(body), body["key"]
        if any(item.sku.startswith("refuse-dispatch") for item in parcel.items):
            return _rejection(422, "key", body, "address unknown")
        leaves_in = NEVER if random.Random(key).random() < self._held_back else timedelta(0)
        try:
            booking = await self._parcels.book(key, parcel, carrier="test", leaves_in=leaves_in)
        except BookingVoided as error:
            return _rejection(410, "key", body, str(error))
        return 200, {"key": key, **booking.model_dump()}

    async def _void_booking(self, body: dict[str, Any]) -> Reply:
        state, booking = await self._parcels.void(body["key"], body["attempt"])
        booked = {} if booking is None else {"booking": booking.model_dump()}
        return 200, {**body, "state": state, **booked}


def key_of(path: str, body: dict[str, Any]) -> str:
    """Return the idempotency key that a call must have."""
    match path:
        case "/charges":
            return body["payment_id"]
        case "/voids":
            return f"{body['payment_id']}/void"
        case "/refunds":
            return f"{body['payment_id']}/refund"
        case "/bookings":
            return body["key"]
    return f"{body['key']}/void/{body['attempt']}"


def _payment(body: dict[str, Any]) -> PaymentIntent:
    return PaymentIntent.model_validate({**body, "amount": Decimal(body["amount"])})


def _money(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("payment_id", "amount", "currency")}


def _rejection(status: int, name: str, body: dict[str, Any], detail: str) -> Reply:
    return status, {name: body[name], "detail": detail}
