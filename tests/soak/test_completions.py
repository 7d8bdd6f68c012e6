"""A soak starts its next order when one has ended in the order store and has no pending refund."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from soak.completions import Completions, track_completions
from support.sample_rows import AT, CHARGE, payment, progress, receive, refund, sample_order


@pytest.fixture
async def writes(postgres_url: str) -> AsyncIterator[OrderWrites]:
    async with Database(postgres_url, pool_size=2, timeout=timedelta(seconds=30)) as database:
        yield OrderWrites(database)


@pytest.fixture
async def completions(postgres_url: str) -> AsyncIterator[Completions]:
    async with track_completions(postgres_url) as made:
        yield made


async def test_wait_for_order_with_pending_refund_ends_after_the_refund(
    writes: OrderWrites, completions: Completions
) -> None:
    shipped, canceled = (asyncio.create_task(completions.wait_for(order_id)) for order_id in ("shipped", "canceled"))
    for order_id in ("shipped", "canceled"):
        await receive(writes, sample_order(order_id))
        await writes.begin_payment(payment(order_id))
        await writes.finish_payment(payment(order_id), PaymentStatus.CHARGED, CHARGE)
    await writes.record("canceled", progress(2, Step.CANCELED, completed_at=AT))
    assert not shipped.done()
    await writes.record("shipped", progress(2, Step.SHIPPED, completed_at=AT))
    async with asyncio.timeout(60):
        assert await shipped
        # Both are polled together, and this one's step ended first.
        assert not canceled.done()
        await refund(writes, payment("canceled"))
        assert await canceled


async def test_wait_for_order_without_an_end_times_out(completions: Completions) -> None:
    assert not await completions.wait_for("never recorded", seconds=0.1)
