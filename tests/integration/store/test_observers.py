"""What writes, pool and change feed report to their observers: each change once, also when a call is repeated."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta

import asyncpg
import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.observability.database_metrics import ChangeFeedMetrics, DatabaseMetrics
from orderfleet.observability.observers import NoopObserver
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.orphans import PostgresOrphanStore
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.metric_samples import metric_changes
from support.sample_rows import AT, event, payment, progress, receive, sample_order

END = AT + timedelta(seconds=90)


class RecordingObserver(NoopObserver):
    def __init__(self) -> None:
        self.reports: list[object] = []

    def order_received(self) -> None:
        self.reports.append("received")

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        self.reports.append((outcome, lasted.total_seconds()))

    def payment_changed(self, status: PaymentStatus) -> None:
        self.reports.append(status)


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def record(database: Database, observer: RecordingObserver) -> OrderWrites:
    return OrderWrites(database, observer)


async def test_observer_gets_receipt_and_end_of_an_order_once(record: OrderWrites, observer: RecordingObserver) -> None:
    await receive(record)
    await receive(record)
    await record.record("ord-1", progress(2, Step.CHARGE))
    end = progress(3, Step.SHIPPED, "shipped", completed_at=END)
    await record.record("ord-1", end)
    await record.record("ord-1", end)  # a retry
    await record.record("ord-1", progress(4, Step.SHIPPED, "too-late", completed_at=END))  # later than the end
    assert observer.reports == ["received", (Step.SHIPPED, 90.0)]


async def test_observer_gets_the_end_of_an_order_that_is_received_ended(
    record: OrderWrites, observer: RecordingObserver
) -> None:
    failed = progress(2, Step.FAILED, "failed", completed_at=END)
    await receive(record, first=failed)
    await receive(record, first=failed)
    assert observer.reports == ["received", (Step.FAILED, 90.0)]


async def test_observer_gets_the_end_of_a_compensated_order_once(
    record: OrderWrites, database: Database, observer: RecordingObserver
) -> None:
    await receive(record)
    orphans = PostgresOrphanStore(database, observer)
    for _ in range(2):
        await orphans.record_compensation("ord-1", step=Step.FAILED, reason="gone", events=[event("ended")])
    await record.record("ord-1", progress(9, Step.SHIPPED, completed_at=END))
    assert observer.reports[0] == "received"
    assert [outcome for outcome, _ in observer.reports[1:]] == [Step.FAILED]  # type: ignore[misc]


async def test_observer_gets_each_payment_status_once(record: OrderWrites, observer: RecordingObserver) -> None:
    await receive(record)
    await record.begin_payment(payment())
    for status in (PaymentStatus.CHARGED, PaymentStatus.CHARGED, PaymentStatus.FAILED, PaymentStatus.REFUNDING):
        await record.finish_payment(payment(), status, None)
    for _ in range(2):
        await record.finish_payment(payment(), PaymentStatus.REFUNDED, None)
    assert observer.reports == ["received", PaymentStatus.CHARGED, PaymentStatus.REFUNDING, PaymentStatus.REFUNDED]


async def test_statements_are_measured_by_name_and_outcome(postgres_url: str) -> None:
    bound = timedelta(seconds=3)
    async with Database(postgres_url, pool_size=1, timeout=bound, observer=DatabaseMetrics(1)) as database:
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
    observer = DatabaseMetrics(1)
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=10), observer=observer) as database:
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


async def test_change_feed_reports_undelivered_orders(database: Database, record: OrderWrites) -> None:
    waiting: list[int] = []

    class RecordingMetrics(ChangeFeedMetrics):
        def lag(self, rows: int) -> None:
            waiting.append(rows)
            super().lag(rows)

    feed = PostgresChangeFeed(database, batch=2, observer=RecordingMetrics())
    following = asyncio.create_task(anext(aiter(feed.follow())))
    await feed.started()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    for number in range(5):
        await receive(record, sample_order(f"ord-{number}"))
    waiting.clear()
    with metric_changes() as samples:
        async with aclosing(feed.follow()) as batches:
            async for batch in batches:
                if len(batch) == 1:
                    break
    # Five are not delivered yet; pages have two.
    assert waiting[:3] == [5, 3, 1]
    assert samples("orderfleet_change_feed_changes_total") == 4
