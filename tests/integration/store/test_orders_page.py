"""Pages of orders: which and in which order, and that a page costs the same however many orders there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from orderfleet.contracts.listing import OrderFilter, Place
from orderfleet.contracts.order import Customer
from orderfleet.contracts.status import Step
from orderfleet.store import Database, OrderReads
from orderfleet.store.statements import statement
from record_samples import AT, order, progress, receive

MANY = 100_000
"""Enough that every wrong plan reads far more than a page; a right one costs the same at a million."""
FILL = f"""
set session_replication_role = replica;
insert into orders (
    order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
    items, address, payment_id, amount, currency, step, version, changed_xid, created_at, updated_at
)
select
    'ord-' || n, 'order-ord-' || n, 'run', 'run', '', '', '', 'Ann',
    -- Half of all orders are one customer's, a third have no e-mail address.
    case when n % 2 = 0 then 'Busy@example.com' when n % 3 = 0 then '' else 'c' || n / 10 || '@example.com' end,
    '[]', '{{}}', 'pay-' || n, 1, 'USD',
    case when n % 1000 = 0 then 'manual_review' when n % 10 = 0 then 'canceled' else 'shipped' end,
    1, '1', timestamptz '2026-01-01' + n * interval '1 second', now()
from generate_series(1, {MANY}) n;
insert into payments (payment_id, order_id, status, amount, currency)
select 'pay-' || n, 'ord-' || n, 'CHARGED', 1, 'USD' from generate_series(1, {MANY}) n;
insert into shipments (shipment_id, order_id, attempt, status)
select 'shipping-ord-' || n, 'ord-' || n, 1, 'dispatched' from generate_series(1, {MANY}) n;
"""

# One worker fills the table, once.
pytestmark = pytest.mark.xdist_group("orders_page")

MIDDLE = Place(created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=MANY // 2), order_id=f"ord-{MANY // 2}")


@pytest.fixture(scope="module")
def filled_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with many orders; the tests only read it."""
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


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first", "middle"])
@pytest.mark.parametrize(
    ("name", "index", "values"),
    [
        ("page", "orders_newest", ()),
        ("page_of_step", "orders_of_step", ("shipped",)),
        ("page_of_step", "orders_of_step", ("manual_review",)),
        ("page_of_customer", "orders_of_customer", ("BUSY@example.com",)),
        ("page_of_customer", "orders_of_customer", ("C777@example.com",)),
        ("page_of_customer_and_step", "orders_of_customer_and_step", ("busy@example.com", "manual_review")),
    ],
)
async def test_page_is_read_from_its_index_and_nothing_is_sorted(filled, name, index, values, after) -> None:
    place = (after.created_at, after.order_id) if after else (datetime(9999, 12, 31, tzinfo=UTC), "")
    explain = f"explain (analyze, buffers, format json) {statement(name)}"
    told = await filled.fetchval(explain, *place, datetime(1, 1, 1, tzinfo=UTC), 51, *values)
    plan = json.loads(told)[0]["Plan"]
    kinds = [(node["Node Type"], node.get("Index Name")) for node in nodes(plan)]
    shown = json.dumps(plan, indent=1)
    assert ("Index Scan", index) in kinds, shown
    assert not {"Seq Scan", "Bitmap Heap Scan"} & {kind for kind, _ in kinds}, shown
    # The only sort is that of one order's own shipments.
    sorts = [node for node in nodes(plan) if "Sort" in node["Node Type"]]
    assert {tuple(node["Sort Key"]) for node in sorts} <= {("shipments.attempt",)}, shown
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes(plan)) == 0, shown
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000, shown


async def test_all_pages_together_are_all_orders_once_newest_first(filled, filled_url: str) -> None:
    wanted = OrderFilter(customer_email="busy@EXAMPLE.com", step=Step.MANUAL_REVIEW)
    async with Database(filled_url, pool_size=1, timeout=timedelta(seconds=10)) as database:
        reads = OrderReads(database)
        found, after = [], None
        while True:
            page = await reads.orders_page(wanted, after=after, limit=30)
            found += [one.order_id for one in page.orders]
            if page.next is None:
                break
            after = page.next
    assert found == [f"ord-{n}" for n in range(MANY, 0, -1000)]


@pytest.fixture
async def three(record) -> None:
    """Two customers' orders; two of the orders began at the same moment."""
    for name, email in (("a", "Ann@example.com"), ("b", "ann@example.COM"), ("c", "bob@example.com")):
        await receive(record, order(name, customer=Customer(name=name, email=email)))
    await record.record("b", progress(2, Step.CHARGE))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "cba"),
        ({"step": "receive"}, "ca"),
        ({"step": "failed"}, ""),
        ({"customer_email": "ANN@EXAMPLE.COM"}, "ba"),
        ({"customer_email": "ann"}, ""),
        ({"customer_email": "ann@example.com\0"}, ""),
        ({"customer_email": ""}, ""),
        ({"customer_email": "ann@example.com", "step": "charge"}, "b"),
        ({"created_from": AT}, "cba"),
        ({"created_from": AT + timedelta(microseconds=1)}, ""),
        ({"created_before": AT + timedelta(microseconds=1)}, "cba"),
        ({"created_before": AT}, ""),
        ({"created_from": datetime.min.replace(tzinfo=UTC), "created_before": datetime.max.replace(tzinfo=UTC)}, "cba"),
    ],
)
async def test_filters_name_the_orders(three, reads, wanted, found) -> None:
    page = await reads.orders_page(OrderFilter(**wanted))
    assert ("".join(one.order_id for one in page.orders), page.next) == (found, None)


async def test_orders_of_the_same_moment_are_neither_skipped_nor_told_twice(three, reads) -> None:
    first = await reads.orders_page(OrderFilter(), limit=1)
    second = await reads.orders_page(OrderFilter(), after=first.next, limit=1)
    third = await reads.orders_page(OrderFilter(), after=second.next, limit=1)
    assert [page.orders[0].order_id for page in (first, second, third)] == ["c", "b", "a"]
    assert third.next is None


async def test_listed_order_is_the_order_as_it_is_read_alone(three, reads) -> None:
    (listed, *_) = (await reads.orders_page(OrderFilter(step=Step.CHARGE))).orders
    assert listed == (await reads.order("b")).status
