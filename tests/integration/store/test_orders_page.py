"""Pages of orders: their content and sort order. `test_page_costs` tests their cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orderfleet.domain.order import Customer
from orderfleet.domain.status import OrderFilter, Step
from support.sample_rows import AT, progress, receive, sample_order


@pytest.fixture
async def three(writes) -> None:
    """Orders of two customers; two of them have the same start time."""
    for name, email in (("a", "Ann@example.com"), ("b", "ann@example.COM"), ("c", "bob@example.com")):
        await receive(writes, sample_order(name, customer=Customer(name=name, email=email)))
    await writes.record("b", progress(2, Step.CHARGE))


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
async def test_filters_select_the_orders(three, reads, wanted, found) -> None:
    page = await reads.orders_page(OrderFilter(**wanted))
    assert ("".join(one.order_id for one in page.orders), page.next) == (found, None)


async def test_orders_of_the_same_time_are_listed_once(three, reads) -> None:
    first = await reads.orders_page(OrderFilter(), limit=1)
    second = await reads.orders_page(OrderFilter(), after=first.next, limit=1)
    third = await reads.orders_page(OrderFilter(), after=second.next, limit=1)
    assert [page.orders[0].order_id for page in (first, second, third)] == ["c", "b", "a"]
    assert third.next is None


async def test_listed_order_equals_the_order_read_by_id(three, reads) -> None:
    (listed, *_) = (await reads.orders_page(OrderFilter(step=Step.CHARGE))).orders
    assert listed == (await reads.order("b")).status
