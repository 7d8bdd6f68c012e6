"""The carrier over HTTP, against a real server: what each answer comes to."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from orderfleet.domain.address_rules import in_latin
from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.order import Address, Customer, Item
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.interfaces import Carrier
from provider_server.faults import AFTER, BEFORE
from provider_server.process import ProviderServer
from support.factories import ADDRESS


@pytest.fixture
def key() -> str:
    return f"ship-{uuid.uuid4().hex}"


def parcel(key: str, attempt: int = 1, sku: str = "pen") -> Parcel:
    order_id = key.removeprefix("ship-")
    return Parcel(
        order_id=order_id,
        shipment_id=f"shipping-{order_id}-{attempt}",
        attempt=attempt,
        items=(Item(sku=sku, qty=2, price="1.10"),),
        address=ADDRESS,
        customer=Customer(name="Ann"),
    )


def booked_parcels(server: ProviderServer, key: str) -> int:
    return sum(1 for each in CarrierLedger(server.ledger).parcels() if each.key == key and not each.voided)


async def test_one_key_books_one_parcel(parcels: Carrier, server: ProviderServer, key: str) -> None:
    booking = await parcels.book(key, parcel(key))
    assert await parcels.book(key, parcel(key)) == booking
    assert await parcels.void_booking(key, 1) == (BookingState.DISPATCHED, booking)
    assert booked_parcels(server, key) == 1
    calls = server.calls(key=key)
    assert [call["headers"]["Idempotency-Key"] for call in calls] == [key, key, f"{key}/void/1"]
    assert calls[0]["body"]["address"] == ADDRESS.model_dump()
    assert calls[0]["body"]["items"] == [{"sku": "pen", "qty": 2, "price": "1.10"}]


WORLD = Address(
    name="\u200f\u05de\u05e8\u05d9\u05dd \u05db\u05d4\u05df\u200e",
    company="\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467 Ltd",
    street="天河路 1号",
    district="天河区",
    city="广州市",
    state="广东省",
    zip="510630",
    country="CN",
)


async def test_address_in_any_script_is_sent_as_written(parcels: Carrier, server: ProviderServer, key: str) -> None:
    await parcels.book(key, parcel(key).model_copy(update={"address": WORLD}))
    (call,) = server.calls(key=key)
    assert call["body"]["address"] == WORLD.model_dump()
    assert "address_latin" not in call["body"]


async def test_carrier_that_asks_for_latin_letters_gets_both(adapters: Any, server: ProviderServer, key: str) -> None:
    carrier = await adapters.carrier(carrier_latin_address=True)
    await carrier.book(key, parcel(key).model_copy(update={"address": WORLD}))
    (call,) = server.calls(key=key)
    assert call["body"]["address"] == WORLD.model_dump()
    latin = in_latin(WORLD)
    assert call["body"]["address_latin"] == latin.model_dump()
    assert (latin.state, latin.street) == ("Guangdong Sheng", WORLD.street)


async def test_void_without_a_booking_closes_the_attempt_and_not_the_next(parcels: Carrier, key: str) -> None:
    assert await parcels.void_booking(key, 1) == (BookingState.NONE, None)
    with pytest.raises(BookingVoided, match="the carrier refused with 410"):
        await parcels.book(key, parcel(key, attempt=1))
    assert await parcels.book(key, parcel(key, attempt=2))


async def test_void_of_a_parcel_that_has_not_left_cancels_it(
    parcels: Carrier, server: ProviderServer, key: str
) -> None:
    voided_booking = {"carrier": "x", "tracking_number": "1"}
    server.answers("/booking-voids", 200, {"key": key, "attempt": 1, "state": "voided", "booking": voided_booking})
    assert await parcels.void_booking(key, 1) == (BookingState.VOIDED, Booking(**voided_booking))


async def test_refusal_is_final_with_its_reason(parcels: Carrier, server: ProviderServer, key: str) -> None:
    with pytest.raises(CarrierRefused, match=r"^the carrier refused with 422: address unknown$"):
        await parcels.book(key, parcel(key, sku="refuse-dispatch"))
    for status in (400, 403, 404, 410):
        server.answers("/bookings", status, {"title": "not us"})
        with pytest.raises(CarrierRefused, match=f"refused with {status}: not us") as raised:
            await parcels.book(key, parcel(key))
        assert type(raised.value) is CarrierRefused


@pytest.mark.parametrize("status", [401, 408, 409, 425, 429, 500, 503])
async def test_retryable_status_is_unavailable_with_retry_after(
    parcels: Carrier, server: ProviderServer, key: str, status: int
) -> None:
    for path in ("/bookings", "/booking-voids"):
        server.answers(path, status, {"message": "later"}, Retry_After="3")
        with pytest.raises(CarrierUnavailable, match=f"answered {status}: later") as raised:
            await (parcels.book(key, parcel(key)) if path == "/bookings" else parcels.void_booking(key, 1))
        assert raised.value.retry_after == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/bookings", {"key": "other", "carrier": "x", "tracking_number": "1"}, "key is other where ship-"),
        ("/bookings", {"carrier": "x", "tracking_number": ""}, "tracking_number: "),
        ("/bookings", {"carrier": "x"}, "tracking_number: Field required"),
        ("/booking-voids", {"attempt": 1, "state": "gone"}, "state: Input should be 'none', 'voided' or 'dispatched'"),
        ("/booking-voids", {"attempt": 2, "state": "none"}, "attempt is 2 where 1 was asked"),
        ("/booking-voids", {"attempt": 1, "state": "dispatched"}, "state dispatched comes with its booking"),
    ],
)
async def test_invalid_answer_is_carrier_unavailable(
    parcels: Carrier, server: ProviderServer, key: str, path: str, answer: dict[str, Any], message: str
) -> None:
    server.answers(path, 200, {"key": key, **answer})
    with pytest.raises(CarrierUnavailable, match=f"gave no usable answer to {path}") as raised:
        await (parcels.book(key, parcel(key)) if path == "/bookings" else parcels.void_booking(key, 1))
    assert message in str(raised.value)


@pytest.mark.parametrize("fault", [*BEFORE, *AFTER])
async def test_retried_booking_books_one_parcel_after_any_fault(
    adapters: Any, server: ProviderServer, key: str, fault: str
) -> None:
    timed_out, parcels = await adapters.carrier(carrier_timeout="400ms"), await adapters.carrier()
    server.script("/bookings", {"fault": fault, "seconds": 0.6})
    with suppress(CarrierUnavailable):
        await timed_out.book(key, parcel(key))
    assert await parcels.book(key, parcel(key))
    assert booked_parcels(server, key) == 1
