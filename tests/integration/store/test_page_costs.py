"""Pages of a million orders: with any filter, a page is read from its index and costs few buffers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orderfleet.domain.status import Cursor, OrderFilter, Step
from orderfleet.store.pool import Database, statement
from orderfleet.store.reads import OrderReads

# One worker fills the tables, once, which takes most of a minute.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("page_costs")]

MANY = 1_000_000
FILL = f"""
set session_replication_role = replica;
insert into orders (
    order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
    items, address, payment_id, amount, currency, step, version, changed_xid, created_at, updated_at,
    received_month, reference
)
select
    'ord-' || n, 'order-ord-' || n, 'run', 'run', '', '', '', 'Ann',
    -- Half of all orders are one customer's, a sixth have no e-mail address, the others are of customers with few.
    case when n % 2 = 0 then 'Busy@example.com' when n % 3 = 0 then '' else 'c' || n / 10 || '@example.com' end,
    '[]', '{{}}', 'pay-' || n, 1, 'USD',
    case when n % 1000 = 0 then 'manual_review' when n % 10 = 0 then 'canceled' else 'shipped' end,
    1, '1', timestamptz '2026-01-01' + n * interval '1 second', now(), '2026-01-01',
    case when n % 10 = 0 then '#' || n / 20 else '' end
from generate_series(1, {MANY}) n;
insert into payments (payment_id, order_id, status, amount, currency)
select 'pay-' || n, 'ord-' || n, 'CHARGED', 1, 'USD' from generate_series(1, {MANY}) n;
insert into shipments (shipment_id, order_id, attempt, status)
select 'shipping-ord-' || n, 'ord-' || n, 1, 'dispatched' from generate_series(1, {MANY}) n;
"""

LIMIT = 50
MOST_BUFFERS = 1000
"""Of 8 KiB, for 51 orders with their payments and shipments: about 12 each, of which most are index pages."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MIDDLE = BEGIN + timedelta(seconds=MANY // 2)
NEWEST = (datetime(9999, 12, 31, tzinfo=UTC), "")
FROM_THE_MIDDLE = (MIDDLE, f"ord-{MANY // 2}")
EVER = datetime(1, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with a million orders; the tests only read it."""
    with request.getfixturevalue("backing").database(migrated=True) as url:
        yield url


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(filled_url)
    if not await connection.fetchval("select exists (select from orders)"):
        await connection.execute(FILL)
        for table in ("orders", "payments", "shipments"):
            await connection.execute(f"vacuum (analyze) {table}")
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


# Every combination that `GET /orders` accepts: any of step, customer, from, before, and a cursor.
# `before` and the cursor are one bound in SQL.
@pytest.mark.parametrize("since", [EVER, MIDDLE, MIDDLE - timedelta(seconds=20)], ids=["ever", "half", "20s"])
@pytest.mark.parametrize("cursor", [NEWEST, FROM_THE_MIDDLE], ids=["newest", "middle"])
@pytest.mark.parametrize(
    ("name", "index", "values"),
    [
        ("page", "orders_by_time", ()),
        ("page_of_step", "orders_by_step", ("shipped",)),
        ("page_of_step", "orders_by_step", ("manual_review",)),
        ("page_of_step", "orders_by_step", ("charge",)),
        ("page_of_customer", "orders_by_customer", ("BUSY@example.com",)),
        ("page_of_customer", "orders_by_customer", ("C7777@example.com",)),
        ("page_of_customer", "orders_by_customer", ("unknown@example.com",)),
        ("page_of_customer_and_step", "orders_by_customer_and_step", ("busy@example.com", "manual_review")),
        ("page_of_customer_and_step", "orders_by_customer_and_step", ("busy@example.com", "canceled")),
        ("page_of_customer_and_step", "orders_by_customer_and_step", ("c7777@example.com", "shipped")),
        ("page_of_customer_and_step", "orders_by_customer_and_step", ("c7777@example.com", "charge")),
        ("page_of_reference", "orders_by_reference", ("#7777", None, None)),
        ("page_of_reference", "orders_by_reference", ("#unknown", "busy@example.com", "shipped")),
    ],
)
async def test_page_is_read_from_its_index_and_nothing_is_sorted(filled, name, index, values, cursor, since) -> None:
    explain = f"explain (analyze, buffers, format json) {statement(name)}"
    explained = await filled.fetchval(explain, *cursor, since, LIMIT + 1, *values)
    plan = json.loads(explained)[0]["Plan"]
    kinds = [(node["Node Type"], node.get("Index Name")) for node in nodes(plan)]
    shown = json.dumps(plan, indent=1)
    assert ("Index Scan", index) in kinds, shown
    assert not {"Seq Scan", "Bitmap Heap Scan"} & {kind for kind, _ in kinds}, shown
    # The only sort is that of one order's own shipments.
    sorts = [node for node in nodes(plan) if "Sort" in node["Node Type"]]
    assert {tuple(node["Sort Key"]) for node in sorts} <= {("shipments.attempt",)}, shown
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes(plan)) == 0, shown
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < MOST_BUFFERS, shown


@pytest.mark.parametrize("step", [None, Step.CANCELED])
@pytest.mark.parametrize("email", [None, "busy@example.com"])
@pytest.mark.parametrize(
    "after", [None, Cursor(created_at=MIDDLE, order_id=f"ord-{MANY // 2}")], ids=["first", "later"]
)
async def test_reads_return_a_whole_page_by_any_filter(filled, filled_url: str, step, email, after) -> None:
    before = after.created_at if after else BEGIN + timedelta(days=365)
    since = MIDDLE - timedelta(seconds=1000)
    wanted = OrderFilter(step=step, customer_email=email, created_from=since, created_before=before)
    async with Database(filled_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        page = await OrderReads(database).orders_page(wanted, after=after, limit=LIMIT)
    assert len(page.orders) == LIMIT
    assert all(since <= one.created_at < before for one in page.orders)
    assert step is None or {one.step for one in page.orders} == {step}


async def test_all_pages_together_are_all_orders_once_newest_first(filled, filled_url: str) -> None:
    wanted = OrderFilter(customer_email="busy@EXAMPLE.com", step=Step.MANUAL_REVIEW)
    async with Database(filled_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        reads = OrderReads(database)
        found, after = [], None
        while True:
            page = await reads.orders_page(wanted, after=after, limit=200)
            found += [one.order_id for one in page.orders]
            if page.next is None:
                break
            after = page.next
    assert found == [f"ord-{n}" for n in range(MANY, 0, -1000)]
