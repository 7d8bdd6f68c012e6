"""The interfaces of a payment provider and a carrier, and the settings that a package's adapter gets.

An adapter in a package outside Orderfleet implements them. Workflow modules import this module, so it must never
import an I/O library. The errors are those of `orderfleet.domain.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
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
    """A payment provider. The payment id is the idempotency key of every call.

    Raises `PaymentRefused` for a definite rejection, `PaymentVoided` for an id that was voided, and
    `ProviderUnavailable` for everything that another attempt may resolve.
    """

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the same payment id again returns the same charge."""

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged."""

    async def refund(self, payment: PaymentIntent) -> None:
        """Refund the whole charge, once."""


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
