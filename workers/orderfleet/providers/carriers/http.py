"""The carrier over HTTP: the user's own service. Implements `Carrier`.

`deploy/docs/providers.md` is the contract it speaks. An answer counts only if it names the booking.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from pydantic import StringConstraints, model_validator

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.providers.http_calls import CallFailed, CallRejected, HttpCalls

WHO: Final = "the carrier"
_VOIDED: Final = 410

Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""Somebody else's word: 1 to 200 characters that can be printed."""


class BookingRequest(Parcel):
    """A parcel to take, under its key."""

    key: str


class BookingVoid(Contract):
    """A booking to take back, made by this shipment of the order or an earlier one."""

    key: str
    attempt: int


class Booked(Contract):
    """The parcel is taken, now or before under the same key."""

    carrier: Name
    tracking_number: Name

    def booking(self) -> Booking:
        """As the rest of Orderfleet knows it."""
        return Booking(carrier=self.carrier, tracking_number=self.tracking_number)


class BookingAnswer(Booked):
    """What a booking answers."""

    key: str


class BookingVoidAnswer(Contract):
    """What taking a booking back found."""

    key: str
    attempt: int
    state: BookingState
    booking: Booked | None = None

    @model_validator(mode="after")
    def _dispatched_names_its_booking(self) -> BookingVoidAnswer:
        if self.state is BookingState.DISPATCHED and self.booking is None:
            # An order that goes on as shipped needs its tracking number.
            raise ValueError("state dispatched comes with its booking")
        return self


class HttpCarrier:
    """A carrier behind HTTP."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel, under `key` as idempotency key.

        Raises:
            CarrierRefused: the carrier refused it.
            BookingVoided: the parcel's attempt was voided.
            CarrierUnavailable: anything else but a booking under this key.
        """
        with _translated():
            answer = await self._calls.post(
                "/bookings",
                BookingRequest(key=key, **dict(parcel)),
                BookingAnswer,
                key=key,
                named=("key", key),
            )
        return answer.booking()

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Take back the booking unless its parcel has left; close the key for `attempt` and those before it.

        Raises as `book`.
        """
        with _translated():
            answer = await self._calls.post(
                "/booking-voids",
                BookingVoid(key=key, attempt=attempt),
                BookingVoidAnswer,
                key=f"{key}/void/{attempt}",
                named=("key", key),
                same={"attempt": attempt},
            )
        return answer.state, None if answer.booking is None else answer.booking.booking()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        raise CarrierUnavailable(str(error), error.after) from error
    except CallRejected as error:
        voided = error.status == _VOIDED and error.named
        raise (BookingVoided if voided else CarrierRefused)(f"{WHO} {error}") from error
