"""`GET /orders`: filters, pages and invalid parameters."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orderfleet.domain.order import Customer
from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.sample_rows import AT, progress, receive, sample_order


@pytest.fixture
async def three_orders(postgres_url) -> None:
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=20)) as database:
        writes = OrderWrites(database)
        for name, email in (("a", "Ann@example.com"), ("b", "ann@example.COM"), ("c", "bob@example.com")):
            await receive(writes, sample_order(name, customer=Customer(name=name, email=email)))
        await writes.record("b", progress(2, Step.CHARGE))


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, "cba"),
        ({"step": "charge"}, "b"),
        ({"customer_email": "ANN@example.com"}, "ba"),
        ({"customer_email": "ann@example.com", "step": "receive"}, "a"),
        ({"created_from": AT.isoformat(), "created_before": "2027-01-01T00:00:00+01:00"}, "cba"),
        ({"created_before": AT.isoformat()}, ""),
    ],
)
async def test_orders_are_filtered_and_listed_newest_first(api, three_orders, params, found):
    async with api() as caller:
        answer = await caller.get("/orders", params=params)
    assert answer.status_code == 200, answer.text
    assert "".join(one["order_id"] for one in answer.json()["orders"]) == found
    assert answer.json()["next"] is None


async def test_pages_are_linked_by_cursors_to_the_end(api, three_orders):
    async with api() as caller:
        found, page = [], {"next": ""}
        while page["next"] is not None:
            cursor = {"cursor": page["next"]} if page["next"] else {}
            page = (await caller.get("/orders", params={"limit": 1, **cursor})).json()
            found += [one["order_id"] for one in page["orders"]]
    assert found == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"step": "lost"}, "step"),
        ({"limit": 201}, "limit"),
        ({"limit": 0}, "limit"),
        ({"created_from": "2026-01-01"}, "created_from"),
        ({"created_from": "2026-01-01T00:00:00"}, "created_from"),
        ({"created_before": "0001-01-01T00:00:00+14:00"}, "created_before"),
        ({"cursor": "%%%"}, "cursor"),
        ({"cursor": "bm90IGEgcGxhY2U"}, "cursor"),
        ({"cursor": "eyJjcmVhdGVkX2F0IjoiMDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCIsIm9yZGVyX2lkIjoiYSJ9"}, "cursor"),
        ({"customer": "ann@example.com"}, "customer"),
    ],
)
async def test_invalid_filter_is_422_and_named(api, params, field):
    async with api() as caller:
        answer = await caller.get("/orders", params=params)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
