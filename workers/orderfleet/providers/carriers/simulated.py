"""The simulated carrier's books: what was asked of it, and which parcels it took.

`carriers.simulated` writes them; tests and the demo count in them. They are the carrier's truth,
kept apart from the record of the product, so that the two can be held against each other.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from orderfleet.domain.errors import BookingVoided, CarrierRefused, CarrierUnavailable
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.providers.ledger_file import LedgerBusy, LedgerFile

_SCHEMA: Final = """
create table if not exists carrier_calls (
    id      integer primary key,
    at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    call    text not null,
    key     text not null
);
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


@dataclass(frozen=True)
class BookedParcel:
    """One parcel the carrier booked."""

    key: str
    order_id: str
    shipment_id: str
    address: str
    """JSON of the address it was booked for."""
    tracking_number: str
    voided: bool


class CarrierLedger:
    """The books, in a file or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._file = LedgerFile(path, _SCHEMA)

    async def book(self, key: str, parcel: Parcel, *, carrier: str, leaves_in: timedelta) -> Booking:
        """Enter the parcel unless there is one under this key; return its booking.

        Raises:
            BookingVoided: the parcel's attempt, or a later one, was voided.
        """

        def work(books: sqlite3.Connection) -> Booking:
            if parcel.attempt <= _closed_up_to(books, key):
                raise BookingVoided(f"booking {key} of attempt {parcel.attempt} was voided")
            known = _parcel(books, key, voided=False)
            if known is not None:
                return _booking(known)
            tracking_number = f"SIM{uuid.uuid4().hex[:12].upper()}"
            leaves_at = (datetime.now(UTC) + leaves_in).timestamp()
            address = parcel.address.model_dump_json()
            books.execute(
                "insert into carrier_parcels"
                " (key, order_id, shipment_id, attempt, address, carrier, tracking_number, leaves_at)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    parcel.order_id,
                    parcel.shipment_id,
                    parcel.attempt,
                    address,
                    carrier,
                    tracking_number,
                    leaves_at,
                ),
            )
            return Booking(carrier=carrier, tracking_number=tracking_number)

        return await self._file.run(work)

    async def void(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Close the key for `attempt` and those before it, unless its parcel has left."""

        def work(books: sqlite3.Connection) -> tuple[BookingState, Booking | None]:
            live = _parcel(books, key, voided=False)
            if live is not None and live["leaves_at"] <= datetime.now(UTC).timestamp():
                return BookingState.DISPATCHED, _booking(live)
            books.execute(
                "insert into carrier_closed (key, attempt) values (?, ?)"
                " on conflict (key) do update set attempt = max(attempt, excluded.attempt)",
                (key, attempt),
            )
            # A void told again must not take back what a later attempt has booked since.
            books.execute("update carrier_parcels set voided = 1 where key = ? and attempt <= ?", (key, attempt))
            taken_back = _parcel(books, key, voided=True)
            if taken_back is None:
                return BookingState.NONE, None
            return BookingState.VOIDED, _booking(taken_back)

        return await self._file.run(work)

    async def called(self, call: str, key: str) -> None:
        """Note that the carrier was called, whatever comes of it."""
        await self._file.run(
            lambda books: books.execute("insert into carrier_calls (call, key) values (?, ?)", (call, key))
        )

    def calls(self) -> list[tuple[str, str]]:
        """Every call ever made: its name and the booking key, in order."""
        rows = self._file.run_now(
            lambda books: books.execute("select call, key from carrier_calls order by id").fetchall()
        )
        return [(row["call"], row["key"]) for row in rows]

    def parcels(self) -> list[BookedParcel]:
        """Every parcel ever booked, in order; voided ones too."""
        rows = self._file.run_now(lambda books: books.execute("select * from carrier_parcels order by id").fetchall())
        return [
            BookedParcel(
                row["key"],
                row["order_id"],
                row["shipment_id"],
                row["address"],
                row["tracking_number"],
                bool(row["voided"]),
            )
            for row in rows
        ]


def _closed_up_to(books: sqlite3.Connection, key: str) -> int:
    row = books.execute("select attempt from carrier_closed where key = ?", (key,)).fetchone()
    return 0 if row is None else int(row["attempt"])


def _parcel(books: sqlite3.Connection, key: str, *, voided: bool) -> sqlite3.Row | None:
    row: sqlite3.Row | None = books.execute(
        "select * from carrier_parcels where key = ? and voided = ? order by id desc", (key, voided)
    ).fetchone()
    return row


def _booking(row: sqlite3.Row) -> Booking:
    return Booking(carrier=row["carrier"], tracking_number=row["tracking_number"])


CARRIER_NAME: Final = "simulated"

REFUSED_SKU_PREFIX: Final = "refuse-dispatch"

"""Items that are never taken, so that a failing dispatch can be shown."""


class SimulatedCarrier:
    """A carrier with books of its own.

    Args:
        ledger: file of the books; None keeps them in memory.
        latency: between doing what was asked and answering, as a lost answer is the harder case.
        leaves_in: how long a booked parcel waits before it leaves and can't be voided any more.
    """

    def __init__(
        self,
        *,
        ledger: Path | None = None,
        latency: timedelta = timedelta(0),
        leaves_in: timedelta = timedelta(0),
    ) -> None:
        self.ledger = CarrierLedger(ledger)
        self._latency = latency.total_seconds()
        self._leaves_in = leaves_in

    async def book(self, key: str, parcel: Parcel) -> Booking:
        """Book and dispatch one parcel; the same key again returns the same booking.

        Raises:
            CarrierRefused: an item is never taken.
            BookingVoided: the parcel's attempt was voided.
            CarrierUnavailable: the books could not be had.
        """
        with _available():
            await self.ledger.called("book", key)
            refused = [item.sku for item in parcel.items if item.sku.startswith(REFUSED_SKU_PREFIX)]
            if refused:
                await asyncio.sleep(self._latency)
                raise CarrierRefused(f"the carrier doesn't take {refused[0]!r}")
            booking = await self.ledger.book(key, parcel, carrier=CARRIER_NAME, leaves_in=self._leaves_in)
        await asyncio.sleep(self._latency)
        return booking

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        """Take back the booking unless its parcel has left; close the key for `attempt` and those before it."""
        with _available():
            await self.ledger.called("void_booking", key)
            answer = await self.ledger.void(key, attempt)
        await asyncio.sleep(self._latency)
        return answer


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except LedgerBusy as error:
        raise CarrierUnavailable(str(error)) from error
