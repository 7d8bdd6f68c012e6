"""Notices the moment when a worker should be killed: before its provider acts, before or after its answer is stored.

The ledgers of the simulated providers are read again and again. Of what a worker has stored, Postgres notifies by
triggers that are added to the test's database.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import asyncpg

from orderfleet.domain.ledger import EntryKind
from orderfleet.domain.names import ORDER_REFUND
from orderfleet.domain.order import CaptureMode
from orderfleet.providers.carriers.simulated import CarrierLedger
from orderfleet.providers.payments.simulated import PaymentLedger

_POLL: Final = 0.005
_CHANNEL: Final = "calls"
_VOID: Final = "/void"
"""End of the key of a void, and of the refund that it makes."""


class Call(StrEnum):
    """A call of the payment provider or the carrier."""

    CHARGE = "charge"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    REFUND = "refund"
    """Of everything that a failed or canceled order has paid."""
    PARTIAL_REFUND = "partial refund"
    RELEASE = "release"
    """The void of an authorization."""
    VOID = "void"
    """Of a charge or a capture of unknown outcome."""
    BOOKING = "booking"


class Moment(StrEnum):
    """Where a worker is in its call."""

    BEFORE_PROVIDER = "before the provider"
    """The call is stored, and the provider has not acted."""
    BEFORE_DATABASE = "between provider and database"
    AFTER_DATABASE = "after the database"
    """The answer is stored, and Temporal may not have it."""


@dataclass(frozen=True)
class Reached:
    """A call that has reached a moment."""

    call: Call
    moment: Moment
    payment_id: str
    """Of a booking, the order id."""
    key: str
    """The idempotency key."""


@asynccontextmanager
async def moments(ledger: Path, database_url: str, reached: Callable[[Reached], None]) -> AsyncIterator[None]:
    """Call `reached` for each moment of each call until the context closes.

    Args:
        ledger: file of the providers.
        database_url: the order store.
        reached: must return at once.
    """
    # Reading creates the tables.
    await asyncio.to_thread(PaymentLedger(ledger).entries)
    await asyncio.to_thread(CarrierLedger(ledger).parcels)
    database = await asyncpg.connect(database_url)
    polling = asyncio.create_task(_poll(ledger, reached))
    try:
        await database.execute(_TRIGGERS)
        await database.add_listener(_CHANNEL, lambda *notice: _notify(notice[-1], reached))
        yield
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await database.close()


_TRIGGERS: Final = f"""
create function notify_call() returns trigger language plpgsql as $$
begin
    perform pg_notify(
        '{_CHANNEL}', jsonb_build_object('table', tg_table_name, 'op', tg_op, 'row', to_jsonb(new))::text);
    return null;
end;
$$;
create trigger notify_call after insert or update of fenced_at on payments
    for each row execute function notify_call();
create trigger notify_call after insert on payment_intents for each row execute function notify_call();
create trigger notify_call after insert on payment_entries for each row execute function notify_call();
"""


def _notify(payload: Any, reached: Callable[[Reached], None]) -> None:
    notice = json.loads(payload)
    row = notice["row"]
    payment_id = row["payment_id"]
    if notice["table"] == "payment_entries":
        moment, key, call = Moment.AFTER_DATABASE, row["key"], _call_of_entry(row)
    elif notice["table"] == "payment_intents":
        moment, key, call = Moment.BEFORE_PROVIDER, row["key"], _call_of_key(row["key"])
    elif notice["op"] == "INSERT":
        immediate = row["capture"] == CaptureMode.IMMEDIATE
        moment, key, call = Moment.BEFORE_PROVIDER, payment_id, Call.CHARGE if immediate else Call.AUTHORIZE
    else:
        moment, key = Moment.BEFORE_PROVIDER, payment_id + _VOID
        # With a capture it is the fence of a refund, which has an intent.
        call = None if row["captured"] else (Call.RELEASE if row["authorized"] > row["released"] else Call.VOID)
    if call is not None:
        reached(Reached(call, moment, payment_id, key))


def _call_of_entry(row: Mapping[str, Any]) -> Call | None:
    """The call whose answer is an entry of the order store."""
    match row["kind"]:
        case EntryKind.AUTHORIZED:
            return Call.AUTHORIZE
        case EntryKind.CAPTURED if row["key"] == row["payment_id"]:
            return Call.CHARGE
        case EntryKind.CAPTURED | EntryKind.REFUNDED:
            return _call_of_key(row["key"])
        case EntryKind.VOIDED:
            return Call.RELEASE if row["amount"] else Call.VOID
    return None


def _call_of_key(key: str) -> Call:
    if "/refund/" in key:
        return Call.REFUND if f"/refund/{ORDER_REFUND}/" in key else Call.PARTIAL_REFUND
    return Call.VOID if key.endswith(_VOID) else Call.CAPTURE


_PAYMENTS: Final = """
select id, kind, payment_id, key, exists (
    select 1 from payment_entries as release
    where release.payment_id = entry.payment_id and release.number = entry.number and release.kind = 'release'
) as released
from payment_entries as entry where id > ? order by id
"""
_PARCELS: Final = "select id, order_id from carrier_parcels where id > ? order by id"


async def _poll(ledger: Path, reached: Callable[[Reached], None]) -> None:
    """Read what the providers have done. They answer only a while after they acted."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=30)) as database:
        last_payment = last_parcel = 0
        while True:
            for entry_id, kind, payment_id, key, released in database.execute(_PAYMENTS, (last_payment,)).fetchall():
                last_payment = entry_id
                call = _call_of_movement(kind, key, released=bool(released))
                if call is not None:
                    reached(Reached(call, Moment.BEFORE_DATABASE, payment_id, key))
            for parcel_id, order_id in database.execute(_PARCELS, (last_parcel,)).fetchall():
                last_parcel = parcel_id
                reached(Reached(Call.BOOKING, Moment.BEFORE_DATABASE, order_id, order_id))
            await asyncio.sleep(_POLL)


def _call_of_movement(kind: str, key: str, *, released: bool) -> Call | None:
    """The call that made an entry of the provider; None for what a void has made beside its own entry."""
    match kind:
        case "release":
            return None
        case "void":
            return Call.RELEASE if released else Call.VOID
        case "refund":
            return None if key.endswith(_VOID) else _call_of_key(key)
    return Call(kind)
