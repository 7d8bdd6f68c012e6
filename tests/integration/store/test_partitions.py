"""Partitions of events: an order's events are in the partition of its month, and old partitions are dropped."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from orderfleet.domain import names
from orderfleet.domain.events import EventKind
from orderfleet.domain.status import Step
from orderfleet.store.erasure import prune
from orderfleet.store.migrate import MONTHS_AHEAD
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.sample_rows import event, progress, sample_order

JANUARY, FEBRUARY = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
LATER = datetime(2026, 6, 1, tzinfo=UTC)


async def receive_order(writes: OrderWrites, order_id: str, at: datetime, *, ended: bool = True) -> None:
    await writes.receive(
        sample_order(order_id, owner=f"shop/{order_id}"),
        workflow_id=names.order_workflow_id(order_id),
        run_id="run-1",
        first_run_id="run-1",
        started_at=at,
        progress=progress(1, Step.RECEIVE, "received"),
    )
    if ended:
        await writes.record(order_id, progress(2, Step.SHIPPED, "shipped", completed_at=at + timedelta(hours=1)))


async def events_by_partition(sql: asyncpg.Connection) -> dict[str, list[str]]:
    """Order id and key of the events, by partition."""
    rows = await sql.fetch("select tableoid::regclass::text, order_id || ' ' || key from events order by order_id, id")
    found: dict[str, list[str]] = {}
    for table, event_key in rows:
        found.setdefault(table, []).append(event_key)
    return found


async def partitions_of_2026(sql: asyncpg.Connection) -> set[str]:
    rows = await sql.fetch("select relname from pg_class where relkind = 'r' and relname ~ '^events_2026_0[12]$'")
    return {row[0] for row in rows}


@pytest.fixture
async def two_months(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    for month in (JANUARY, FEBRUARY):
        await sql.execute("select create_events_partition($1)", month.date().replace(day=1))
    await receive_order(writes, "jan-1", JANUARY)
    await receive_order(writes, "jan-2", JANUARY)
    await receive_order(writes, "feb-1", FEBRUARY)


async def prune_all(url: str, before: datetime = LATER) -> int:
    return sum([count async for count in prune(url, before, batch=2)])


@pytest.mark.usefixtures("two_months")
async def test_events_are_in_the_partition_of_their_orders_month(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    """Also late ones, and once."""
    late = event("late", EventKind.ATTEMPT_FAILED, Step.CHARGE)
    for _ in range(2):
        await writes.attempt_failed("jan-1", "charge", 1, "late", late)
    assert await events_by_partition(sql) == {
        "events_2026_01": ["jan-1 received", "jan-1 shipped", "jan-1 late", "jan-2 received", "jan-2 shipped"],
        "events_2026_02": ["feb-1 received", "feb-1 shipped"],
    }


async def test_partitions_exist_for_the_next_months(sql: asyncpg.Connection) -> None:
    now = await sql.fetchval("select to_char(now() at time zone 'utc', '\"events_\"YYYY_MM')")
    months = [row[0] for row in await sql.fetch("select relname from pg_class where relname ~ '^events_\\d+_\\d+$'")]
    assert (len(months), min(months)) == (MONTHS_AHEAD + 1, now)


async def test_partition_created_late_receives_events_of_the_default_partition(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    await receive_order(writes, "jan-1", JANUARY)
    await receive_order(writes, "feb-1", FEBRUARY)
    before = await reads.events("jan-1")
    assert set(await events_by_partition(sql)) == {"events_default"}
    for _ in range(2):
        await sql.execute("select create_events_partition('2026-01-01')")
    assert await events_by_partition(sql) == {
        "events_2026_01": ["jan-1 received", "jan-1 shipped"],
        "events_default": ["feb-1 received", "feb-1 shipped"],
    }
    assert await reads.events("jan-1") == before


@pytest.mark.usefixtures("two_months")
async def test_partition_whose_orders_are_all_prunable_is_dropped(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection, postgres_url: str
) -> None:
    await receive_order(writes, "feb-2", FEBRUARY, ended=False)
    assert await prune_all(postgres_url) == 3
    assert await partitions_of_2026(sql) == {"events_2026_02"}, "an order of February runs"
    assert await events_by_partition(sql) == {"events_2026_02": ["feb-2 received"]}
    assert not await reads.events("jan-1")
    await writes.record("feb-2", progress(2, Step.CANCELED, "canceled", completed_at=FEBRUARY))
    assert await prune_all(postgres_url) == 1
    assert await partitions_of_2026(sql) == set()


@pytest.mark.usefixtures("two_months")
async def test_partition_is_kept_until_its_month_has_ended(sql: asyncpg.Connection, postgres_url: str) -> None:
    """A partition without orders can still receive new ones."""
    await prune_all(postgres_url, datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    assert await partitions_of_2026(sql) == {"events_2026_02"}
    await prune_all(postgres_url, datetime(2026, 3, 1, tzinfo=UTC))
    assert await partitions_of_2026(sql) == set()


@pytest.mark.usefixtures("two_months")
async def test_interrupted_prune_continues_and_keeps_events_of_new_orders(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection, postgres_url: str
) -> None:
    await receive_order(writes, "jan-3", JANUARY, ended=False)
    # As if the order had been received while the partition was detached.
    await sql.execute("select detach_events_partition('2026-01-01')")
    assert set(await events_by_partition(sql)) == {"events_2026_02"}
    await prune_all(postgres_url)
    assert await partitions_of_2026(sql) == set()
    await writes.record("jan-3", progress(2, Step.CHARGE, "received", "approved"))
    assert await events_by_partition(sql) == {"events_default": ["jan-3 received", "jan-3 approved"]}
    assert len(await reads.events("jan-3")) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("two_months")
async def test_prune_does_not_wait_for_a_long_reader(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection, postgres_url: str
) -> None:
    """A backup holds a lock on every table for hours; writers would wait behind a prune that waits for it."""
    async with sql.transaction():
        await sql.fetch("select from events")
        assert await asyncio.wait_for(prune_all(postgres_url), 60) == 3
        await receive_order(writes, "now-1", datetime.now(UTC))
    assert await partitions_of_2026(sql) == {"events_2026_01", "events_2026_02"}
    assert await events_by_partition(sql) == {f"events_{datetime.now(UTC):%Y_%m}": ["now-1 received", "now-1 shipped"]}
    assert await prune_all(postgres_url) == 0
    assert await partitions_of_2026(sql) == set()
    assert len(await reads.events("now-1")) == 2


@pytest.mark.usefixtures("two_months")
async def test_prune_reads_events_by_index(writes: OrderWrites, sql: asyncpg.Connection, postgres_url: str) -> None:
    """Postgres overestimates the number of rows, and would read all partitions."""
    await receive_order(writes, "jan-3", JANUARY, ended=False)
    await sql.execute(
        "set session_replication_role = replica;"
        "insert into events (order_id, key, kind, step, at, received_month)"
        " select 'other-' || n / 8, n, 'approved', 'charge', now(), month"
        " from generate_series(1, 10000) n, unnest('{2026-01-01,2026-02-01}'::date[]) month;"
        "set session_replication_role = origin; analyze events"
    )
    database = await sql.fetchval("select quote_ident(current_database())")
    await sql.execute(
        f"alter database {database} set random_page_cost = 1000"
    )  # so few events would be read sequentially
    read = "select sum(seq_tup_read)::int from pg_stat_user_tables where relname like 'events%'"
    before = await sql.fetchval(read)
    assert [count async for count in prune(postgres_url, datetime(2026, 2, 27, tzinfo=UTC))] == [3]
    await sql.execute("select pg_stat_clear_snapshot()")
    assert await sql.fetchval(read) == before


@pytest.mark.parametrize("table", ["events", "events_2026_01", "events_default"])
@pytest.mark.usefixtures("two_months")
async def test_every_partition_is_append_only(sql: asyncpg.Connection, table: str) -> None:
    for statement in (f"delete from {table}", f"update {table} set kind = 'x'", f"truncate {table}"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await sql.execute(statement)
