"""Sessions that write, erase, prune, drop partitions and change stock lock in one order, so they never deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from orderfleet.domain.status import ShipmentStatus, Step
from orderfleet.domain.stock import LevelCount
from orderfleet.store.encoding import as_json
from orderfleet.store.erasure import erase, prune
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin
from orderfleet.store.writes import OrderWrites
from support.polling import eventually
from support.sample_rows import AT, event, progress, receive, sample_order, shipment
from support.stock_rows import expire, inconsistent, places, put_in, reservation

LATER = datetime(2026, 6, 1, tzinfo=UTC)


async def erase_customer(url: str) -> None:
    assert (await erase(url, "ann@example.com")).erased == ("ord-0", "ord-1")


async def prune_orders(url: str) -> None:
    assert sum([count async for count in prune(url, LATER)]) == 2


async def waiting_sessions(sql: asyncpg.Connection) -> int:
    return int(
        await sql.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


@pytest.fixture
async def other(postgres_url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def ended(writes: OrderWrites) -> None:
    """Two orders that have ended and whose shipments failed."""
    for number in range(2):
        order_id = f"ord-{number}"
        await receive(writes, sample_order(order_id))
        failed = shipment(ShipmentStatus.FAILED, order_id, dispatch_failed_reason="no carrier")
        await writes.record_shipment(failed, [event("s/1")])
        end = AT + timedelta(minutes=number)
        await writes.record(order_id, progress(2, Step.SHIPPED, completed_at=end))


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(("held", "written"), [("ord-0", "ord-1"), ("ord-1", "ord-0")])
@pytest.mark.parametrize("remove", [erase_customer, prune_orders])
async def test_record_shipment_during_an_erasure_does_not_deadlock(
    writes: OrderWrites,
    sql: asyncpg.Connection,
    other: asyncpg.Connection,
    postgres_url: str,
    remove: Callable[[str], Awaitable[None]],
    held: str,
    written: str,
) -> None:
    # Blocks the erasure between its locks: it has locked both orders, and waits for a shipment.
    holding = sql.transaction()
    await holding.start()
    await sql.fetch("select from shipments where order_id = $1 for update", held)
    removing = asyncio.ensure_future(remove(postgres_url))

    async def waiting(count: int) -> bool:
        return await waiting_sessions(other) == count

    await eventually(lambda: waiting(1))
    late = shipment(ShipmentStatus.DISPATCHED, written, carrier="simulated", tracking_number="SIM1", attempts=2)
    recording = asyncio.create_task(writes.record_shipment(late, [event("s/2")]))
    await eventually(lambda: waiting(2))
    await holding.rollback()
    results = await asyncio.gather(removing, recording, return_exceptions=True)
    assert results == [None, None]
    assert await sql.fetchval("select tracking_number from shipments where order_id = $1", written) == "SIM1"


async def test_prune_that_detaches_a_partition_during_a_write_does_not_deadlock(
    writes: OrderWrites, sql: asyncpg.Connection, other: asyncpg.Connection, postgres_url: str
) -> None:
    await sql.execute("select create_events_partition('2026-03-01')")
    await receive(writes)
    await writes.record("ord-1", progress(2, Step.SHIPPED, completed_at=AT))
    await writes.receive(
        sample_order("ord-2"),
        workflow_id="order-ord-2",
        run_id="run-1",
        first_run_id="run-1",
        started_at=datetime.now(UTC),
        progress=progress(1, Step.RECEIVE, "received"),
    )
    # Locks as `record_progress` does, and stops between the order and its events.
    writing = sql.transaction()
    await writing.start()
    await sql.execute("update orders set approved = true where order_id = 'ord-2'")
    pruning = asyncio.ensure_future(prune_all(postgres_url))

    async def prune_waits() -> bool:
        return await waiting_sessions(other) > 0

    await eventually(prune_waits)
    await sql.execute("select insert_events('ord-2', $1)", as_json([event("late")]))
    await writing.commit()
    assert await pruning == 1


COUNTS = [LevelCount(sku="tea", location=location, on_hand=5) for location in ("west", "east")]


async def count_levels(database: Database) -> None:
    await StockAdmin(database).count(COUNTS, "stocktaking", "test")


async def reserve_pieces(database: Database) -> None:
    await PostgresStock(database).reserve([reservation("o-3", west=1, east=1)])


async def replace_places(database: Database) -> None:
    requests = [reservation("o-2", 2, west=1), reservation("o-1", 2, west=1)]
    await PostgresStock(database).reserve(requests)


async def commit_pieces(database: Database) -> None:
    await PostgresStock(database).commit("o-1", "ship-o-1:1", places(west=1, east=1))


async def restock_pieces(database: Database) -> None:
    await PostgresStock(database).restock("o-1", "back-o-1", places(west=1, east=1), "returned")


async def remove_expired(database: Database) -> None:
    await PostgresStock(database).remove_expired()


async def pass_gate(database: Database) -> None:
    await PostgresStock(database).pass_gate("o-2", places(west=1, east=1))


STOCK_WRITES = (
    count_levels,
    reserve_pieces,
    replace_places,
    commit_pieces,
    restock_pieces,
    remove_expired,
    pass_gate,
)


@pytest.mark.parametrize(
    "blocked", ["stock_levels where location = 'west'", "stock_reservations where location = 'west'"]
)
@pytest.mark.parametrize("first", STOCK_WRITES)
async def test_writes_of_stock_during_another_one_do_not_deadlock(
    database: Database,
    sql: asyncpg.Connection,
    other: asyncpg.Connection,
    postgres_url: str,
    first: Callable[[Database], Awaitable[None]],
    blocked: str,
) -> None:
    await put_in(StockAdmin(database), east=9, west=9)
    owners = [reservation("o-1", west=1, east=1, confirm=True), reservation("o-2", west=1, east=1, confirm=True)]
    await PostgresStock(database).reserve([*owners, reservation("gone", west=1, east=1)])
    await expire(sql, ["gone"])
    # Blocks each write between its locks, where it already has those of the other location.
    holding = sql.transaction()
    await holding.start()
    await sql.fetch(f"select from {blocked} for update")
    async with Database(postgres_url, pool_size=8, timeout=timedelta(seconds=30)) as crowd:
        begun = asyncio.ensure_future(first(crowd))
        await asyncio.sleep(0.1)
        rest = [asyncio.ensure_future(write(crowd)) for write in STOCK_WRITES if write is not first]

        async def some_wait() -> bool:
            return await waiting_sessions(other) > 1

        await eventually(some_wait)
        await holding.rollback()
        results = await asyncio.gather(begun, *rest, return_exceptions=True)
    assert results == [None] * len(STOCK_WRITES)
    assert await other.fetchval("select deadlocks from pg_stat_database where datname = current_database()") == 0
    assert await inconsistent(other) == []


async def prune_all(url: str) -> int:
    return sum([count async for count in prune(url, LATER)])
