"""A carrier over HTTP. `deploy/docs/providers.md` is the contract of its service.

An answer is valid only if it names the booking.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from pydantic import StringConstraints, model_validator

from orderfleet.domain.address_rules import in_latin
from orderfleet.domain.base import Contract
from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.order import Address
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.providers.http_calls import CallFailed, CallRejected, HttpCalls

_VOIDED: Final = 410

Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""A text of the carrier: 1 to 200 printable characters."""


class BookingRequest(Parcel):
    """Body of a booking: the parcel and its key."""

    key: str


class LatinBookingRequest(BookingRequest):
    """Body of a booking for a service that asks for Latin letters too."""

    address_latin: Address


class BookingVoid(Contract):
    """Body of a void: the booking by this shipment of the order or an earlier one."""

    key: str
    attempt: int


class Booked(Contract):
    """The parcel is booked, by this call or an earlier one with its key."""

    carrier: Name
    tracking_number: Name

    def booking(self) -> Booking:
        """Return the carrier and the tracking number as a `Booking`."""
        return Booking(carrier=self.carrier, tracking_number=self.tracking_number)


class BookingAnswer(Booked):
    """The carrier's answer to a booking; `key` repeats that of the request."""

    key: str


class BookingVoidAnswer(Contract):
    """Answer of a void: the state of the booking."""

    key: str
    attempt: int
    state: BookingState
    booking: Booked | None = None

    @model_validator(mode="after")
    def _dispatched_names_its_booking(self) -> BookingVoidAnswer:
        if self.state is BookingState.DISPATCHED and self.booking is None:
            # The order continues as shipped, and needs its tracking number.
            raise ValueError("state dispatched comes with its booking")
        return self


class HttpCarrier:
    """`Carrier` over HTTP calls.

    Args:
        calls: of the carrier's service.
        latin: whether a booking also has the address in Latin letters.
    """

    def __init__(self, calls: HttpCalls, *, latin: bool = False) -> None:
        self._calls = calls
        self._latin = latin

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel, under `key` as idempotency key.

        Raises:
            CarrierRefused: the carrier refused it.
            BookingVoided: the parcel's attempt was voided.
            CarrierUnavailable: the answer is none of these and no booking under this key.
        """
        request = BookingRequest(key=key, **dict(parcel))
        if self._latin:
            request = LatinBookingRequest(**dict(request), address_latin=in_latin(parcel.address))
        with _translate_errors():
            answer = await self._calls.post("/bookings", request, BookingAnswer, key=key, named=("key", key))
        return answer.booking()

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Cancel the booking unless its parcel has left; close the key for `attempt` and those before it.

        Raises as `book`.
        """
        with _translate_errors():
            answer = await self._calls.post(
                "/booking-voids",
                BookingVoid(key=key, attempt=attempt),
                BookingVoidAnswer,
                key=f"{key}/void/{attempt}",
                named=("key", key),
                expected={"attempt": attempt},
            )
        return answer.state, None if answer.booking is None else answer.booking.booking()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        raise CarrierUnavailable(str(error), error.after) from error
    except CallRejected as error:
        voided = error.status == _VOIDED and error.named
        raise (BookingVoided if voided else CarrierRefused)(str(error)) from error
