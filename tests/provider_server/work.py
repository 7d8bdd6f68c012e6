"""The work of the provider server for each path, and its valid answer: the contract in `deploy/docs/providers.md`.

The ledger is that of the simulated adapters, so tests count charges and parcels in one format.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from orderfleet.domain.errors import AuthorizationLapsed, BookingVoided, PaymentRefused, PaymentVoided
from orderfleet.domain.money import minor_units, to_decimal
from orderfleet.domain.payment import (
    AmountLimits,
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    Refund,
    RefundIntent,
)
from orderfleet.domain.shipment import Parcel
from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.payments.simulated import SimulatedPayments

Reply = tuple[int, dict[str, Any]]

NEVER = timedelta(hours=1)

PAGE = 20
"""Payments of a page of the list."""


class Work:
    """A payment provider and a carrier without faults.

    Args:
        ledger: file of their ledger.
        held_back: share of the parcels that do not leave at once, and so can be voided.
        limits: of the provider's amounts.
    """

    def __init__(self, ledger: Path, held_back: float = 0.0, limits: Mapping[str, AmountLimits] | None = None) -> None:
        self._payments, self._parcels = SimulatedPayments(ledger=ledger, limits=limits), CarrierLedger(ledger)
        self._held_back = held_back
        self.by_path: Mapping[str, Callable[[dict[str, Any]], Awaitable[Reply]]] = {
            "/charges": self._charge,
            "/authorizations": self._authorize,
            "/captures": self._capture,
            "/refunds": self._refund,
            "/voids": self._void,
            "/bookings": self._book,
            "/booking-voids": self._void_booking,
        }

    async def _charge(self, body: dict[str, Any]) -> Reply:
        return await self._request(body, self._payments.charge, "charged")

    async def _authorize(self, body: dict[str, Any]) -> Reply:
        return await self._request(body, self._payments.authorize, "authorized")

    async def _request(
        self, body: dict[str, Any], call: Callable[[PaymentIntent], Awaitable[Charge]], status: str
    ) -> Reply:
        payment = _payment(body)
        try:
            made = await call(payment)
        except PaymentVoided as error:
            return _rejection(410, "payment_id", body, str(error))
        except PaymentRefused as error:
            found = await self._payments.look_up(payment)
            if found is not None and found.status is ProviderStatus.FAILED:
                return _rejection(402, "payment_id", body, found.reason)
            return _rejection(422, "payment_id", body, str(error))
        answer = made.model_dump(mode="json", exclude_none=True)
        return 200, {**_money(body), "status": "pending" if made.pending else status, **answer}

    async def _capture(self, body: dict[str, Any]) -> Reply:
        amount = minor_units(Decimal(body["amount"]), body["currency"])
        capture = CaptureIntent(
            payment=_payment(body), number=body["capture"], amount=amount, final=body.get("final", True)
        )
        return await self._move(body, self._payments.capture(capture), "captured", "capture")

    async def _refund(self, body: dict[str, Any]) -> Reply:
        amount = minor_units(Decimal(body["amount"]), body["currency"])
        refund = RefundIntent(payment=_payment(body), refund_id=body["refund_id"], number=body["part"], amount=amount)
        return await self._move(body, self._payments.refund(refund), "refunded", "refund_id", "part")

    async def _move(self, body: dict[str, Any], call: Awaitable[Capture | Refund], status: str, *names: str) -> Reply:
        try:
            made = await call
        except PaymentVoided as error:
            return _rejection(410, "payment_id", body, str(error))
        except PaymentRefused as error:
            code = {"code": "authorization_lapsed"} if isinstance(error, AuthorizationLapsed) else {}
            answered, rejection = _rejection(422, "payment_id", body, str(error))
            return answered, rejection | code
        named = {name: body[name] for name in names}
        return 200, {**_money(body), **named, "status": status, "reference": made.reference}

    async def _void(self, body: dict[str, Any]) -> Reply:
        outcome = await self._payments.void(_payment(body))
        return 200, {**_named(body), "outcome": outcome}

    async def look_up(self, payment_id: str, number: int) -> Reply:
        """Answer what the books have of one charge or authorization."""
        asked = PaymentIntent(payment_id=payment_id, number=number, order_id="any", currency="USD", amount=0)
        found = await self._payments.look_up(asked)
        if found is None:
            return 404, {"payment_id": payment_id, "number": number, "detail": "no such payment"}
        return 200, _shown(found)

    async def listed(self, query: Mapping[str, str]) -> Reply:
        """Answer one page of what was created or moved in a time range."""
        since, until = (datetime.fromisoformat(query[name]) for name in ("since", "until"))
        found = [_shown(each) async for each in self._payments.payments(since, until)]
        start = int(query.get("cursor", "0"))
        end = start + PAGE
        return 200, {"payments": found[start:end], "next": str(end) if end < len(found) else None}

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
    if path == "/bookings":
        return body["key"]
    if path == "/booking-voids":
        return f"{body['key']}/void/{body['attempt']}"
    payment, number = body["payment_id"], body["number"]
    match path:
        case "/captures":
            return f"{payment}/{number}/capture/{body['capture']}"
        case "/refunds":
            return f"{payment}/refund/{body['refund_id']}/{body['part']}"
    key = payment if number == 1 else f"{payment}/{number}"
    return f"{key}/void" if path == "/voids" else key


def _payment(body: dict[str, Any]) -> PaymentIntent:
    return PaymentIntent.model_validate({**body, "amount": Decimal(body["amount"])})


def _named(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("payment_id", "number")}


def _money(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("payment_id", "number", "amount", "currency")}


def _shown(payment: ProviderPayment) -> dict[str, Any]:
    """The payment with its amounts as decimals."""
    shown = payment.model_dump(mode="json")
    for part in (shown, *shown["movements"]):
        for name in {"amount", "authorized"} & part.keys():
            part[name] = str(to_decimal(part[name], payment.currency))
    return shown


def _rejection(status: int, name: str, body: dict[str, Any], detail: str) -> Reply:
    return status, {name: body[name], "detail": detail}
