from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.order import Address, Customer, Item
from orderfleet.domain.shipment import BookingState, Parcel
from orderfleet.providers.carriers.simulated import SimulatedCarrier
from orderfleet.providers.registry import CARRIERS, UnknownAdapter
from orderfleet.settings import Settings
from support.factories import ADDRESS

KEY = "ship-ord-1"
LATER = timedelta(hours=1)


def parcel(attempt: int = 1, sku: str = "pen") -> Parcel:
    return Parcel(
        order_id="ord-1",
        shipment_id=f"shipping-ord-1-{attempt}",
        attempt=attempt,
        items=(Item(sku=sku, qty=1),),
        address=ADDRESS,
        customer=Customer(name="Ann"),
    )


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return None if request.param == "memory" else tmp_path / "new" / "ledger.db"


async def test_one_key_books_one_parcel_for_any_attempt(ledger: Path | None) -> None:
    simulated = SimulatedCarrier(ledger=ledger)
    first = await simulated.book(KEY, parcel())
    assert await simulated.book(KEY, parcel()) == first
    assert await simulated.book(KEY, parcel(attempt=2)) == first
    assert len(simulated.ledger.parcels()) == 1
    assert Address.model_validate_json(simulated.ledger.parcels()[0].address) == ADDRESS
    assert simulated.ledger.calls() == [("book", KEY)] * 3


async def test_void_of_a_parcel_that_left_is_dispatched(ledger: Path | None) -> None:
    simulated = SimulatedCarrier(ledger=ledger)
    booking = await simulated.book(KEY, parcel())
    for _ in range(2):
        assert await simulated.void_booking(KEY, 1) == (BookingState.DISPATCHED, booking)
    assert await simulated.book(KEY, parcel()) == booking
    assert not simulated.ledger.parcels()[0].voided


async def test_void_before_the_booking_closes_the_key_for_that_attempt(ledger: Path | None) -> None:
    simulated = SimulatedCarrier(ledger=ledger)
    for _ in range(2):
        assert await simulated.void_booking(KEY, 2) == (BookingState.NONE, None)
    for attempt in (1, 2):
        with pytest.raises(BookingVoided):
            await simulated.book(KEY, parcel(attempt))
    assert simulated.ledger.parcels() == []
    await simulated.book(KEY, parcel(attempt=3))
    with pytest.raises(BookingVoided):
        await simulated.book(KEY, parcel(attempt=1))  # late, and it does not get the later attempt's parcel


async def test_void_of_a_parcel_that_has_not_left_cancels_it(ledger: Path | None) -> None:
    simulated = SimulatedCarrier(ledger=ledger, leaves_in=LATER)
    booking = await simulated.book(KEY, parcel())
    for _ in range(2):
        assert await simulated.void_booking(KEY, 1) == (BookingState.VOIDED, booking)
    with pytest.raises(BookingVoided):
        await simulated.book(KEY, parcel())
    again = await simulated.book(KEY, parcel(attempt=2))
    assert again.tracking_number != booking.tracking_number
    await simulated.void_booking(KEY, 1)  # a repeated void must not cancel the second one
    assert [one.voided for one in simulated.ledger.parcels()] == [True, False]


async def test_refusal_by_prefix_is_shown(ledger: Path | None) -> None:
    simulated = SimulatedCarrier(ledger=ledger)
    with pytest.raises(CarrierRefused, match="'refuse-dispatch-1'"):
        await simulated.book(KEY, parcel(sku="refuse-dispatch-1"))
    assert simulated.ledger.parcels() == []
    assert simulated.ledger.calls() == [("book", KEY)]


async def test_booking_whose_answer_is_lost_is_committed() -> None:
    slow = SimulatedCarrier(latency=LATER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await slow.book(KEY, parcel())
    assert len(slow.ledger.parcels()) == 1


async def test_ledger_that_cannot_be_opened_is_carrier_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(CarrierUnavailable, match="unable to open"):
        await SimulatedCarrier(ledger=tmp_path / "ledger.db").book(KEY, parcel())


async def test_carriers_are_selected_by_name() -> None:
    async with CARRIERS.open(Settings(environment="local")) as opened:
        assert isinstance(opened, SimulatedCarrier)
    with pytest.raises(UnknownAdapter, match=r"no carrier is called 'dhl'; known: http, simulated"):
        CARRIERS.open(Settings(carrier="dhl"))
