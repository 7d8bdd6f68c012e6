"""Sessions that write, erase, prune and drop partitions lock in one order, so they never deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from orderfleet.domain.status import ShipmentStatus, Step
from orderfleet.store.encoding import as_json
from orderfleet.store.erasure import erase, prune
from orderfleet.store.writes import OrderWrites
from support.polling import eventually
from support.sample_rows import AT, event, progress, receive, sample_order, shipment

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


async def prune_all(url: str) -> int:
    return sum([count async for count in prune(url, LATER)])
