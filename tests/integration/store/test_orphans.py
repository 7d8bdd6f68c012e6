"""Unfinished orders, which the orphan sweep reads page by page."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from orderfleet.domain.status import Step
from orderfleet.store.pool import Database, statement
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from support.sample_rows import AT, event, progress, receive, sample_order

NOW = timedelta(0)


@pytest.fixture
async def orphans(database: Database) -> PostgresOrphanStore:
    writes = OrderWrites(database)
    for number in range(5):
        await receive(writes, sample_order(order_id=f"ord-{number}", payment_id=f"pay-{number}"))
    await writes.record("ord-2", progress(9, Step.CANCELED, "canceled", completed_at=AT))
    return PostgresOrphanStore(database)


async def test_unfinished_orders_are_read_page_by_page(orphans: PostgresOrphanStore) -> None:
    first = await orphans.unfinished_page("", 2, NOW)
    assert ([one.order_id for one in first.orders], first.last) == (["ord-0", "ord-1"], "ord-1")
    second = await orphans.unfinished_page("ord-1", 3, NOW)
    assert ([one.order_id for one in second.orders], second.last) == (["ord-3", "ord-4"], None)


async def test_order_that_changed_recently_is_left_out_and_passed(orphans: PostgresOrphanStore) -> None:
    page = await orphans.unfinished_page("", 2, timedelta(hours=1))
    assert (page.orders, page.last) == ((), "ord-1")


async def test_unfinished_orders_carry_their_workflow(orphans: PostgresOrphanStore) -> None:
    (found,) = await orphans.unfinished(["ord-1", "ord-2", "ord-none"])
    (paged,) = (await orphans.unfinished_page("ord-0", 1, NOW)).orders
    assert found == paged
    assert found.workflow_id
    assert found.first_run_id


async def test_compensated_order_is_finished(orphans: PostgresOrphanStore) -> None:
    for _ in range(2):
        await orphans.record_compensation("ord-1", step=Step.FAILED, reason="gone", events=[event("one"), event("two")])
    assert await orphans.unfinished(["ord-1"]) == []
    assert await orphans.orphans(["ord-1"]) == []


async def test_page_is_read_from_the_index_of_unfinished_orders(
    orphans: PostgresOrphanStore, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(
        """
        insert into orders (order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash,
            customer_name, customer_email, items, address, payment_id, amount, currency, step, created_at, completed_at)
        select 'old-' || n, 'order-old-' || n, 'run', 'run', '', '', '', '', '', '[]', '{}',
            'pay-old-' || n, 1, 'USD', 'shipped', now(), now()
        from generate_series(1, 20000) as n
        """
    )
    await connection.execute("analyze orders")
    plan = await connection.fetch(f"explain {statement('unfinished_page')}", "a", 200, NOW)
    await connection.close()
    assert "orders_unfinished" in "\n".join(row[0] for row in plan)
