"""A simulated carrier with a ledger of its own, for development, tests and demos. It moves no parcels."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.providers.ledger import Ledger, SimulatedProvider

CARRIER_NAME: Final = "simulated"

REFUSED_SKU_PREFIX: Final = "refuse-dispatch"
"""Items with this prefix are always refused, so that a failed dispatch can be shown."""


@dataclass(frozen=True)
class BookedParcel:
    """One parcel that the carrier booked."""

    key: str
    order_id: str
    shipment_id: str
    address: str
    """JSON of the address it was booked for."""
    tracking_number: str
    voided: bool


class CarrierLedger(Ledger):
    """Booked and voided parcels of the simulated carrier."""

    provider = "carrier"
    schema = """
create table if not exists carrier_parcels (
    id               integer primary key,
    key              text not null,
    order_id         text not null,
    shipment_id      text not null,
    attempt          integer not null,
    address          text not null,
    carrier          text not null,
    tracking_number  text not null,
    leaves_at        real not null,
    voided           integer not null default 0
);
create unique index if not exists carrier_parcels_live on carrier_parcels (key) where not voided;
create table if not exists carrier_closed (
    key      text primary key,
    attempt  integer not null
)
"""

    async def book(self, key: str, parcel: Parcel, *, carrier: str, leaves_in: timedelta) -> Booking:
        """Insert the parcel unless one is booked under this key; return its booking.

        Args:
            key: of the booking.
            parcel: to book.
            carrier: name of the carrier in the booking.
            leaves_in: time until the parcel leaves and can't be voided.

        Raises:
            BookingVoided: the parcel's attempt, or a later one, was voided.
        """

        def work(ledger: sqlite3.Connection) -> Booking:
            if parcel.attempt <= _closed_up_to(ledger, key):
                raise BookingVoided(f"booking {key} of attempt {parcel.attempt} was voided")
            booked = _parcel(ledger, key, voided=False)
            if booked is not None:
                return _booking(booked)
            tracking_number = f"SIM{uuid.uuid4().hex[:12].upper()}"
            leaves_at = (datetime.now(UTC) + leaves_in).timestamp()
            address = parcel.address.model_dump_json()
            row = (key, parcel.order_id, parcel.shipment_id, parcel.attempt, address, carrier, tracking_number)
            ledger.execute(
                "insert into carrier_parcels"
                " (key, order_id, shipment_id, attempt, address, carrier, tracking_number, leaves_at)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, leaves_at),
            )
            return Booking(carrier=carrier, tracking_number=tracking_number)

        return await self.run(work)

    async def void(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Close the key for `attempt` and those before it, unless its parcel has left.

        Args:
            key: of the booking.
            attempt: number of the shipment, from 1.

        Returns:
            The state that the call found or made, and the booking; None where there was none.
        """

        def work(ledger: sqlite3.Connection) -> tuple[BookingState, Booking | None]:
            booked = _parcel(ledger, key, voided=False)
            if booked is not None and booked["leaves_at"] <= datetime.now(UTC).timestamp():
                return BookingState.DISPATCHED, _booking(booked)
            ledger.execute(
                "insert into carrier_closed (key, attempt) values (?, ?)"
                " on conflict (key) do update set attempt = max(attempt, excluded.attempt)",
                (key, attempt),
            )
            # A repeated void must not cancel what a later attempt has booked since.
            ledger.execute("update carrier_parcels set voided = 1 where key = ? and attempt <= ?", (key, attempt))
            voided = _parcel(ledger, key, voided=True)
            if voided is None:
                return BookingState.NONE, None
            return BookingState.VOIDED, _booking(voided)

        return await self.run(work)

    def parcels(self) -> list[BookedParcel]:
        """Return every parcel that was booked, in order; voided ones too."""
        rows = self.run_now(lambda ledger: ledger.execute("select * from carrier_parcels order by id").fetchall())
        names = ("key", "order_id", "shipment_id", "address", "tracking_number")
        return [BookedParcel(**{name: row[name] for name in names}, voided=bool(row["voided"])) for row in rows]


def _closed_up_to(ledger: sqlite3.Connection, key: str) -> int:
    row = ledger.execute("select attempt from carrier_closed where key = ?", (key,)).fetchone()
    return 0 if row is None else int(row["attempt"])


def _parcel(ledger: sqlite3.Connection, key: str, *, voided: bool) -> sqlite3.Row | None:
    row: sqlite3.Row | None = ledger.execute(
        "select * from carrier_parcels where key = ? and voided = ? order by id desc", (key, voided)
    ).fetchone()
    return row


def _booking(row: sqlite3.Row) -> Booking:
    return Booking(carrier=row["carrier"], tracking_number=row["tracking_number"])


class SimulatedCarrier(SimulatedProvider[CarrierLedger]):
    """`Carrier` over a ledger of its own.

    Args:
        ledger: file of the ledger; None keeps it in memory.
        latency: between the commit of a call and its answer.
        leaves_in: time until a booked parcel leaves and can't be voided.
    """

    unavailable = CarrierUnavailable

    def __init__(
        self, *, ledger: Path | None = None, latency: timedelta = timedelta(0), leaves_in: timedelta = timedelta(0)
    ) -> None:
        super().__init__(CarrierLedger(ledger), latency)
        self._leaves_in = leaves_in

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking.

        Raises:
            CarrierRefused: an item has the prefix `refuse-dispatch`.
            BookingVoided: the parcel's attempt was voided.
            CarrierUnavailable: the ledger is busy.
        """
        async with self._call("book", key):
            refused = [item.sku for item in parcel.items if item.sku.startswith(REFUSED_SKU_PREFIX)]
            if refused:
                raise CarrierRefused(f"the carrier doesn't take {refused[0]!r}")
            return await self.ledger.book(key, parcel, carrier=CARRIER_NAME, leaves_in=self._leaves_in)

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Cancel the booking unless its parcel has left; close the key for `attempt` and those before it."""
        async with self._call("void_booking", key):
            return await self.ledger.void(key, attempt)
