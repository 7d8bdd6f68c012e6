"""A soak's next order comes when one has ended and nothing is owed for it, by the record."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ends import Ends, ends

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from record_samples import AT, order, payment, progress, receive


@pytest.fixture
async def record(postgres_url: str) -> AsyncIterator[OrderWrites]:
    async with Database(postgres_url, pool_size=2, timeout=timedelta(seconds=30)) as database:
        yield OrderWrites(database)


@pytest.fixture
async def seen(postgres_url: str) -> AsyncIterator[Ends]:
    async with ends(postgres_url) as made:
        yield made


async def test_an_order_is_waited_for_until_nothing_is_owed_for_it(record: OrderWrites, seen: Ends) -> None:
    shipped, canceled = (asyncio.create_task(seen.of(order_id)) for order_id in ("shipped", "canceled"))
    for order_id in ("shipped", "canceled"):
        await receive(record, order(order_id))
        await record.begin_payment(payment(order_id))
        await record.finish_payment(payment(order_id), PaymentStatus.CHARGED, "ch_1")
    await record.record("canceled", progress(2, Step.CANCELED, completed_at=AT))
    assert not shipped.done()
    await record.record("shipped", progress(2, Step.SHIPPED, completed_at=AT))
    async with asyncio.timeout(60):
        assert await shipped
        # Looked for together, and it has ended longer.
        assert not canceled.done()
        for status in (PaymentStatus.REFUNDING, PaymentStatus.REFUNDED):
            await record.finish_payment(payment("canceled"), status, None)
        assert await canceled


async def test_an_order_without_an_end_is_given_up(seen: Ends) -> None:
    assert not await seen.of("never recorded", patience=0.1)
