"""A payment provider and a carrier in the process of the workers, whose behavior a test scripts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from orderfleet.domain.errors import BookingVoided, PaymentVoided
from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.domain.shipment import Booking, BookingState, Parcel

Behavior = Callable[[], Awaitable[None]]


def fails(error: Exception) -> Behavior:
    async def behave() -> None:
        raise error

    return behave


async def hangs() -> None:
    await asyncio.Event().wait()


@dataclass
class Gate:
    """A behavior that waits until the test opens it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Script:
    """Behaviors of the next calls of a method, before and after their work, in this order."""

    def __init__(self) -> None:
        self.before: list[Behavior] = []
        self.after: list[Behavior] = []
        self.always: Behavior | None = None

    async def begin(self) -> None:
        if self.always is not None:
            await self.always()
        elif self.before:
            await self.before.pop(0)()

    async def end(self) -> None:
        if self.after:
            await self.after.pop(0)()


class ScriptedPayments:
    """A payment provider with a ledger: the number of charges and refunds by payment id."""

    def __init__(self) -> None:
        self.charging, self.voiding, self.refunding = Script(), Script(), Script()
        self.charges: Counter[str] = Counter()
        self.refunds: Counter[str] = Counter()
        self.voided: set[str] = set()

    async def charge(self, payment: PaymentIntent) -> Charge:
        await self.charging.begin()
        if payment.payment_id in self.voided:
            raise PaymentVoided(payment.payment_id)
        if not self.charges[payment.payment_id]:
            self.charges[payment.payment_id] += 1
        await self.charging.end()
        return Charge(reference=f"ch-{payment.payment_id}")

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        await self.voiding.begin()
        self.voided.add(payment.payment_id)
        if not self.charges[payment.payment_id]:
            return VoidOutcome.NEVER_CHARGED
        await self._refund_once(payment)
        return VoidOutcome.REFUNDED

    async def refund(self, payment: PaymentIntent) -> None:
        await self.refunding.begin()
        assert self.charges[payment.payment_id], "refund of what was never charged"
        await self._refund_once(payment)
        await self.refunding.end()

    async def _refund_once(self, payment: PaymentIntent) -> None:
        if not self.refunds[payment.payment_id]:
            self.refunds[payment.payment_id] += 1

    def balance(self, payment_id: str) -> int:
        """Charges less refunds."""
        return self.charges[payment_id] - self.refunds[payment_id]


class ScriptedCarrier:
    """A carrier with a ledger: the parcels by booking key."""

    def __init__(self) -> None:
        self.booking, self.voiding = Script(), Script()
        self.parcels: dict[str, list[Parcel]] = {}
        self.voided: dict[str, int] = {}
        self.held_back: set[str] = set()
        """Keys of booked parcels that are not dispatched, so that they can be voided."""

    async def book(self, key: str, parcel: Parcel) -> Booking:
        await self.booking.begin()
        if self.voided.get(key, 0) >= parcel.attempt:
            raise BookingVoided(key)
        self.parcels.setdefault(key, []) or self.parcels[key].append(parcel)
        await self.booking.end()
        return _booking(key)

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        await self.voiding.begin()
        booked = self.parcels.get(key)
        if booked and key not in self.held_back:
            return BookingState.DISPATCHED, _booking(key)
        self.voided[key] = max(self.voided.get(key, 0), attempt)
        if booked:
            booked.clear()
            await self.voiding.end()
            return BookingState.VOIDED, None
        return BookingState.NONE, None


def _booking(key: str) -> Booking:
    return Booking(carrier="test-carrier", tracking_number=f"track-{key}")
