"""Stock of tests: locations, levels, reservations, and the rows that the database has of them."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from orderfleet.domain.stock import LevelCount, Reservation, StockOutcome, StockPlace
from orderfleet.store.stock_admin import StockAdmin

HOUR = 3600.0


def places(**qty: int) -> tuple[StockPlace, ...]:
    """Pieces of the SKU `tea` by location: `places(east=2)`. The line is `1`."""
    return tuple(StockPlace(line="1", sku="tea", location=location, qty=count) for location, count in qty.items())


def reservation(owner: str, revision: int | None = 1, *, confirm: bool = False, **qty: int) -> Reservation:
    """Pieces of the SKU `tea` for an owner, for an hour."""
    return Reservation(owner=owner, revision=revision, lines=places(**qty), confirm=confirm, seconds=HOUR)


async def put_in(admin: StockAdmin, sku: str = "tea", **on_hand: int) -> None:
    """Create locations with pieces of a SKU; the first one has the lowest priority number."""
    for number, location in enumerate(on_hand):
        await admin.set_location(location, priority=number)
    counts = [LevelCount(sku=sku, location=location, on_hand=count) for location, count in on_hand.items()]
    outcome, _, _ = await admin.count(counts, "delivery", "test")
    assert outcome is StockOutcome.APPLIED


async def level(sql: asyncpg.Connection, location: str, sku: str = "tea") -> tuple[int, int]:
    """Pieces on hand and reserved at a level."""
    row = await sql.fetchrow("select * from stock_levels where (sku, location) = ($1, $2)", sku, location)
    return row["on_hand"], row["reserved"]


async def reserved_by(sql: asyncpg.Connection, owner: str) -> dict[str, tuple[int, int, str]]:
    """Pieces, those of them dispatched, and state of an owner's reservations by location."""
    rows = await sql.fetch("select * from stock_reservations where owner = $1 order by location", owner)
    return {row["location"]: (row["qty"], row["committed"], row["state"]) for row in rows}


async def expire(sql: asyncpg.Connection, owners: Iterable[str]) -> None:
    """Let the held reservations of owners expire."""
    await sql.execute(
        "update stock_reservations set expires_at = clock_timestamp() - interval '1 s'"
        " where owner = any($1) and state = 'held'",
        list(owners),
    )


INCONSISTENT = """
select l.sku, l.location, 'reserved' as what, l.reserved as stored, coalesce(sum(r.qty - r.committed), 0) as derived
from stock_levels as l left join stock_reservations as r using (sku, location)
group by l.sku, l.location having l.reserved <> coalesce(sum(r.qty - r.committed), 0)
union all
select l.sku, l.location, 'on hand', l.on_hand, coalesce(sum(m.qty), 0)
from stock_levels as l left join stock_movements as m using (sku, location)
group by l.sku, l.location having l.on_hand <> coalesce(sum(m.qty), 0)
union all
select sku, location, 'oversold', on_hand, reserved from stock_levels where on_hand < reserved or on_hand < 0
"""
"""Levels whose numbers are not the sums of their rows, or that have fewer pieces than are reserved."""


async def inconsistent(sql: asyncpg.Connection) -> list[dict[str, object]]:
    """What does not add up; empty if all does."""
    return [dict(row) for row in await sql.fetch(INCONSISTENT)]
