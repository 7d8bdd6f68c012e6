"""A payment provider and a carrier in the process of the workers, whose behavior a test scripts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from temporalio import activity

from orderfleet.domain.errors import BookingVoided, ProviderUnavailable
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
from orderfleet.providers.payments.simulated import PaymentLedger
from support.forgetful_payments import ForgetfulPayments

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
    """A simulated payment provider with counters of its charges and refunds by payment id."""

    def __init__(self) -> None:
        self.charging, self.authorizing, self.capturing = Script(), Script(), Script()
        self.refunding, self.voiding, self.looking_up = Script(), Script(), Script()
        self.charges: Counter[str] = Counter()
        self.refunds: Counter[str] = Counter()
        self.voided: set[str] = set()
        """Keys of voided charges and authorizations; a test may add others. The first one of a payment has its id."""
        self.list_error: Exception | None = None
        """Raised by each list of payments."""
        self.amount_limits: dict[str, AmountLimits] = {}
        """That the adapter answers by currency, whatever the provider accepts."""
        self.unavailable_until: datetime | None = None
        """Attempts that Temporal starts earlier get no answer."""
        self.search_lags = False
        """Whether a look-up does not find what the books have."""
        self._provider = ForgetfulPayments()

    @property
    def ledger(self) -> PaymentLedger:
        """The provider's books."""
        return self._provider.ledger

    def forget(self) -> None:
        """Start with empty books."""
        self.charges.clear()
        self.refunds.clear()
        self.voided.clear()
        self._provider = ForgetfulPayments()

    def forget_keys(self) -> None:
        """From now on, each request is a new one, also under a key of an earlier one."""
        self._provider.forget_keys()

    def limits(self, currency: str) -> AmountLimits:
        return self.amount_limits.get(currency, AmountLimits())

    async def charge(self, payment: PaymentIntent) -> Charge:
        async with self._scripted(self.charging, payment):
            return await self._provider.charge(payment)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        async with self._scripted(self.authorizing, payment):
            return await self._provider.authorize(payment)

    async def capture(self, capture: CaptureIntent) -> Capture:
        async with self._scripted(self.capturing, capture.payment):
            return await self._provider.capture(capture)

    async def refund(self, refund: RefundIntent) -> Refund:
        async with self._scripted(self.refunding, refund.payment):
            assert self.charges[refund.payment.payment_id], "refund of what was never charged"
            return await self._provider.refund(refund)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        async with self._scripted(self.voiding, None):
            self.voided.add(payment.key)
            outcome = await self._provider.void(payment)
            self._count(payment.payment_id)
            return outcome

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        async with self._scripted(self.looking_up, None):
            return None if self.search_lags else await self._provider.look_up(payment)

    def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        if self.list_error is not None:
            raise self.list_error
        return self._provider.payments(since, until)

    @asynccontextmanager
    async def _scripted(self, script: Script, payment: PaymentIntent | None) -> AsyncIterator[None]:
        """Run the script before and after a call; a payment that was voided is rejected."""
        if self.unavailable_until is not None and activity.info().started_time < self.unavailable_until:
            raise ProviderUnavailable("closed")
        await script.begin()
        if payment is not None and payment.key in self.voided:
            await self._provider.void(payment)
        yield
        if payment is not None:
            self._count(payment.payment_id)
        await script.end()

    def _count(self, payment_id: str) -> None:
        """Count the payment's charges, which are captures too, and its refunds."""
        kinds = Counter(entry.kind for entry in self.ledger.entries(payment_id))
        self.charges[payment_id] = kinds["charge"] + kinds["capture"]
        self.refunds[payment_id] = kinds["refund"]
        for counter in (self.charges, self.refunds):
            if not counter[payment_id]:
                del counter[payment_id]

    def balance(self, payment_id: str) -> int:
        """Charges and captures less refunds, in numbers of them."""
        return self.charges[payment_id] - self.refunds[payment_id]

    def money(self, payment_id: str) -> Decimal:
        """What the provider has of a payment, in major units."""
        signs = {
            "charge": 1,
            "capture": 1,
            "refund": -1,
            "refund_failure": 1,
            "charge_back": -1,
            "charge_back_reversal": 1,
        }
        entries = self.ledger.entries(payment_id)
        return sum((signs.get(entry.kind, 0) * entry.amount for entry in entries), Decimal(0))


class PreparingPayments(ScriptedPayments):
    """A scripted provider that `PreparesPayments`: its charges and authorizations have an id before they move money."""

    def __init__(self) -> None:
        super().__init__()
        self.preparing = Script()
        self.prepared: Counter[str] = Counter()
        """Number of preparations by key."""

    async def prepare(self, payment: PaymentIntent, capture: CaptureMode) -> str:
        await self.preparing.begin()
        self.prepared[payment.key] += 1
        await self.preparing.end()
        return f"prepared-{capture}-{payment.key}-{self.prepared[payment.key]}"

    async def charge(self, payment: PaymentIntent) -> Charge:
        made = await super().charge(payment)
        return made.model_copy(update={"reference": payment.reference or made.reference})

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        made = await super().authorize(payment)
        return made.model_copy(update={"reference": payment.reference or made.reference})


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
