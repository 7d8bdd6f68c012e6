"""What writes, pool and change feed count: each change once, also when a call is repeated."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta

import asyncpg
import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.ledger import EntryKind, RefundRequest
from orderfleet.domain.payment import Authorization, Capture, Refund, VoidOutcome
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.observability.metrics import CHANGE_FEED_LAG_ROWS, REFUND_RESULTS
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from support.ledger_rows import authorize, charge, fact
from support.metric_samples import Samples, metric_changes
from support.sample_rows import AT, CHARGE, event, payment, progress, receive, refund, sample_order

END = AT + timedelta(seconds=90)


RECEIVED = "orderfleet_orders_received_total"
DURATION = "orderfleet_order_duration_seconds"
PAYMENTS = "orderfleet_payments_total"
PAID = ("pay-ord-1", "ord-1")


@pytest.fixture
def writes(database: Database) -> OrderWrites:
    return OrderWrites(database)


async def test_receipt_and_end_of_an_order_are_counted_once(writes: OrderWrites) -> None:
    with metric_changes() as samples:
        await receive(writes)
        await receive(writes)
        await writes.record("ord-1", progress(2, Step.CHARGE))
        end = progress(3, Step.SHIPPED, "shipped", completed_at=END)
        await writes.record("ord-1", end)
        await writes.record("ord-1", end)  # a retry
        await writes.record("ord-1", progress(4, Step.SHIPPED, "too-late", completed_at=END))  # later than the end
    assert samples(RECEIVED) == samples(f"{DURATION}_count") == samples(f"{DURATION}_count", outcome=Step.SHIPPED) == 1
    assert samples(f"{DURATION}_sum") == pytest.approx(90.0)  # the difference of two sums of floats


async def test_end_of_an_order_that_is_received_ended_is_counted_once(writes: OrderWrites) -> None:
    failed = progress(2, Step.FAILED, "failed", completed_at=END)
    with metric_changes() as samples:
        await receive(writes, first=failed)
        await receive(writes, first=failed)
    assert samples(RECEIVED) == samples(f"{DURATION}_count") == samples(f"{DURATION}_count", outcome=Step.FAILED) == 1
    assert samples(f"{DURATION}_sum") == pytest.approx(90.0)  # the difference of two sums of floats


async def test_end_of_a_compensated_order_is_counted_once(writes: OrderWrites, database: Database) -> None:
    await receive(writes)
    orphans = PostgresOrphanStore(database)
    with metric_changes() as samples:
        for _ in range(2):
            await orphans.record_compensation("ord-1", step=Step.FAILED, reason="gone", events=[event("ended")])
        await writes.record("ord-1", progress(9, Step.SHIPPED, completed_at=END))
    assert samples(f"{DURATION}_count") == samples(f"{DURATION}_count", outcome=Step.FAILED) == 1


async def test_each_payment_status_is_counted_once(writes: OrderWrites) -> None:
    await receive(writes)
    await writes.begin_payment(payment())
    with metric_changes() as samples:
        for status in (PaymentStatus.CHARGED, PaymentStatus.CHARGED, PaymentStatus.FAILED):
            await writes.finish_payment(payment(), status, CHARGE)
        for _ in range(2):
            await refund(writes)
    assert samples(PAYMENTS) == samples(PAYMENTS, result="charged") == 1
    assert refunds(samples) == {"pending": 1, "done": 1}


def refunds(samples: Samples) -> dict[str, float]:
    """How many refunds were counted, by result."""
    counted = {result: samples("orderfleet_refunds_total", result=result) for result in REFUND_RESULTS}
    return {result: count for result, count in counted.items() if count}


async def test_each_partial_refund_is_counted_once_at_its_begin_and_at_its_end(writes: OrderWrites) -> None:
    await receive(writes)
    await charge(writes)
    with metric_changes() as samples:
        for refund_id in ("r1", "r2"):
            for _ in range(2):  # a retry
                decision = await writes.begin_refund(*PAID, RefundRequest(refund_id=refund_id, amount=100))
            for _ in range(2):
                await writes.finish_refund(decision.parts[0], Refund(reference=f"re_{refund_id}"))
        await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=100))
    assert refunds(samples) == {"pending": 2, "done": 2}
    assert not samples(PAYMENTS)


async def test_refund_of_two_authorizations_is_counted_once(writes: OrderWrites) -> None:
    await receive(writes)
    await authorize(writes)
    for number in (1, 2):
        decision = await writes.begin_capture(*PAID, 1000 if number == 1 else None)
        assert decision.capture is not None
        await writes.finish_capture(decision.capture, Capture(reference=f"cp_{number}"))
        if number == 1:
            again = await writes.begin_authorization(*PAID)
            assert again.authorization is not None
            await writes.finish_payment(again.authorization, PaymentStatus.AUTHORIZED, Authorization(reference="au_2"))
    with metric_changes() as samples:
        decision = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=2000))
        assert len(decision.parts) == 2
        await writes.finish_refund(decision.parts[0], Refund(reference="re_1"))
    assert refunds(samples) == {"pending": 1}
    with metric_changes() as samples:
        await writes.finish_refund(decision.parts[1], None, error="closed")
    assert refunds(samples) == {"failed": 1}


async def test_refused_and_failed_refunds_are_counted_once_and_the_payment_not_again(writes: OrderWrites) -> None:
    await receive(writes)
    await charge(writes)
    with metric_changes() as samples:
        assert (await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=9999))).refused is not None
        decision = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=100))
        for _ in range(2):
            await writes.finish_refund(decision.parts[0], None, error="closed")
    assert refunds(samples) == {"pending": 1, "failed": 1, "refused": 1}
    assert not samples(PAYMENTS)


async def test_refund_that_a_report_ends_is_counted_once_and_again_if_it_is_returned(writes: OrderWrites) -> None:
    await receive(writes)
    await charge(writes)
    with metric_changes() as samples:
        (part,) = (await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=100))).parts
        for _ in range(2):
            await writes.record_fact(PAID[0], fact(EntryKind.REFUNDED, part.key, 100))
        await writes.finish_refund(part, Refund(reference="re_1"))
    assert refunds(samples) == {"pending": 1, "done": 1}
    with metric_changes() as samples:
        for _ in range(2):
            await writes.record_fact(PAID[0], fact(EntryKind.REFUND_REVERSED, part.key, 100))
    assert refunds(samples) == {"failed": 1}
    assert not samples(PAYMENTS)


async def test_refunds_of_the_dashboard_and_charge_backs_are_not_counted(writes: OrderWrites) -> None:
    await receive(writes)
    await charge(writes)
    with metric_changes() as samples:
        await writes.record_fact(PAID[0], fact(EntryKind.REFUNDED, "re_9", 100))
        await writes.record_fact(PAID[0], fact(EntryKind.CHARGED_BACK, "dp_9", 3030))
        await writes.record_fact(PAID[0], fact(EntryKind.CHARGE_BACK_REVERSED, "dp_9", 3030))
    assert not refunds(samples)
    assert not samples(PAYMENTS)


async def test_void_that_returns_a_charge_is_counted_as_a_refund_once(writes: OrderWrites) -> None:
    await receive(writes)
    await writes.begin_payment(payment())
    with metric_changes() as samples:
        for _ in range(2):
            await writes.finish_payment(payment(), PaymentStatus.VOIDED, outcome=VoidOutcome.REFUNDED)
    assert refunds(samples) == {"done": 1}
    assert not samples(PAYMENTS)


async def test_statements_are_measured_by_name_and_outcome(postgres_url: str) -> None:
    bound = timedelta(seconds=3)
    async with Database(postgres_url, pool_size=1, timeout=bound) as database:
        with metric_changes() as samples:
            await receive(OrderWrites(database), sample_order("ord-9"))
            with pytest.raises(StoreUnavailable):
                await database.fetch("select pg_sleep(60)")
            with pytest.raises(asyncpg.PostgresSyntaxError):
                await database.fetch("nonsense")
    count = "orderfleet_database_operation_duration_seconds_count"
    assert samples(count, operation="receive", outcome="ok") == 1
    assert samples(count, operation="other", outcome="unavailable") == 1
    assert samples(count, operation="other", outcome="error") == 1
    assert samples("orderfleet_database_pool_wait_seconds_count") == 3
    assert samples("orderfleet_database_pool_waiting") == samples("orderfleet_database_pool_in_use") == 0


async def test_exhausted_pool_shows_waiting_statements(postgres_url: str) -> None:
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=10)) as database:
        await database.fetch("select 1")
        with metric_changes() as samples:
            calls = [asyncio.create_task(database.fetch("select pg_sleep(10)")) for _ in range(3)]
            await asyncio.sleep(0)
            while not await _sleeps(postgres_url):
                pass
        for call in calls:
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
    assert samples("orderfleet_database_pool_in_use") == 1
    assert samples("orderfleet_database_pool_waiting") == 2


async def _sleeps(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        query = (
            "select count(*) from pg_stat_activity where query = 'select pg_sleep(10)' and datname = current_database()"
        )
        return await connection.fetchval(query) > 0
    finally:
        await connection.close()


async def test_change_feed_reports_undelivered_orders(
    database: Database, writes: OrderWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    monkeypatch.setattr(CHANGE_FEED_LAG_ROWS, "set", waiting.append)
    feed = PostgresChangeFeed(database, batch=2)
    following = asyncio.create_task(anext(aiter(feed.follow())))
    await feed.started()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    for number in range(5):
        await receive(writes, sample_order(f"ord-{number}"))
    waiting.clear()
    with metric_changes() as samples:
        async with aclosing(feed.follow()) as batches:
            async for batch in batches:
                if len(batch) == 1:
                    break
    # Five are not delivered yet; pages have two.
    assert waiting[:3] == [5, 3, 1]
    assert samples("orderfleet_change_feed_changes_total") == 4
