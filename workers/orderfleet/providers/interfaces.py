"""The interfaces of a payment provider and a carrier, and the settings that a package's adapter gets.

An adapter in a package outside Orderfleet implements them. Workflow modules import this module, so it must never
import an I/O library. The errors are those of `orderfleet.domain.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Settings for a factory of adapters. Later versions may add fields and remove none."""

    url: str
    """`ORDERFLEET_PAYMENT_URL` or `ORDERFLEET_CARRIER_URL`; empty when unset."""
    token_file: Path | None
    """The file of the bearer token; read it for each call, because it can be renewed."""
    timeout: timedelta
    """Maximum duration of a call. It fits into the timeout of the activity's attempt."""
    ca_file: Path | None = None
    """Certificate authorities of the service, in PEM; None trusts those of the system."""


class PaymentProvider(Protocol):
    """A payment provider. Every request has an idempotency key, its property `key`.

    Raises `PaymentRefused` for a definite rejection, `PaymentVoided` for a charge or an authorization that was voided,
    `AuthorizationLapsed` for a capture of one that lapsed, and `ProviderUnavailable` for everything that another
    attempt may resolve.
    """

    def limits(self, currency: str) -> AmountLimits:
        """What the provider asks of an amount of a currency."""

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Authorize and capture in one call, once; the same key again returns the same charge."""

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Reserve the amount, once; the same key again returns the same authorization."""

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Take money from an authorization, once; the same key again returns the same capture."""

    async def refund(self, refund: RefundIntent) -> Refund:
        """Return money that was captured, once; the same key again returns the same refund."""

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization: it can never take money again.

        What was authorized is released, and what was captured and not refunded is refunded. This does not change
        other authorizations of the payment.
        """

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """What the provider has of a charge or an authorization, by its reference or else its key.

        Returns:
            None if the provider has nothing of it.
        """

    def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Everything that was created or moved money in a time range, in any order.

        Raises:
            PaymentsNotListed: the provider has no such list, so its books are not reconciled.
        """


@runtime_checkable
class PreparesPayments(Protocol):
    """A payment provider whose charges and authorizations have an id before they move money.

    The id is stored before the charge, so that each later attempt finds the same one, also when the provider has
    forgotten its idempotency keys.
    """

    async def prepare(self, payment: PaymentIntent, capture: CaptureMode) -> str:
        """Create the charge or the authorization without moving money; the same key again may create another one.

        Returns:
            The provider's id of it, which later calls get as `payment.reference`.
        """


class Carrier(Protocol):
    """A carrier. The booking key is the idempotency key of every call.

    Raises `CarrierRefused` for a definite rejection, `BookingVoided` for an attempt that was voided, and
    `CarrierUnavailable` for everything that another attempt may resolve.
    """

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking."""

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Cancel the booking under a key, unless its parcel is already dispatched.

        Afterwards a booking by shipment `attempt` or an earlier one, however late it arrives, is rejected with
        `BookingVoided`; a later shipment of the order may book again.

        Args:
            key: of the booking.
            attempt: number of the shipment, from 1.

        Returns:
            The state that the call found or made, and the booking; None where there was none.
        """
