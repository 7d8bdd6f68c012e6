"""What is still owed for an order: the record, its readers in Python and what is counted have one definition."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import asyncpg
import pytest

from orderfleet.contracts.status import PaymentStatus, Step, money_owed
from orderfleet.contracts.survey import WaitKind
from orderfleet.store import Database, OrderReads, OrderRecord, RecordSurvey
from orderfleet.store.migrate import migrate
from orderfleet.store.migration_files import default_directory
from record_samples import AT, order, payment, progress, receive

PAIRS = tuple(itertools.product(Step, PaymentStatus))


async def test_the_record_and_its_readers_agree_for_every_step_and_payment(
    database: Database, record: OrderRecord, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    pairs = {f"{step}-{paid}": (step, paid) for step, paid in PAIRS}
    for order_id, (_, paid) in pairs.items():
        await receive(record, order(order_id))
        await record.begin_payment(payment(order_id))
        await sql.execute("update payments set status = $2 where order_id = $1", order_id, paid)
    for order_id, (step, _) in pairs.items():
        await record.record(order_id, progress(2, step, completed_at=AT))

    owed = {order_id for order_id, pair in pairs.items() if money_owed(*pair)}
    told = await sql.fetch("select order_id from orders join payments using (order_id) where money_owed(step, status)")
    assert {row["order_id"] for row in told} == owed
    assert sorted(row["order_id"] for row in await sql.fetch("select order_id from owed_payments")) == sorted(owed)
    found = {order_id: await reads.order(order_id) for order_id in pairs}
    assert {order_id for order_id, each in found.items() if each and not each.status.settled} == owed
    counted = {one.place: one.count for one in await RecordSurvey(database).take() if one.kind is WaitKind.PAYMENT}
    assert counted == {"INIT": len(Step), "REFUNDING": len(Step), "CHARGED": 2}


@pytest.mark.parametrize("step", [Step.CANCELED, Step.FAILED])
async def test_a_charge_is_owed_back_from_the_end_on_until_it_is_refunded(
    record: OrderRecord, sql: asyncpg.Connection, step: Step
) -> None:
    async def owed() -> list[str]:
        return [row["status"] for row in await sql.fetch("select status from owed_payments")]

    await receive(record)
    await record.begin_payment(payment())
    assert await owed() == [PaymentStatus.INIT]
    await record.finish_payment(payment(), PaymentStatus.CHARGED, "ch_1")
    assert await owed() == []
    await record.record("ord-1", progress(2, step, completed_at=AT))
    assert await owed() == [PaymentStatus.CHARGED]
    await record.finish_payment(payment(), PaymentStatus.REFUNDING, None)
    assert await owed() == [PaymentStatus.REFUNDING]
    await record.finish_payment(payment(), PaymentStatus.REFUNDED, None)
    assert await owed() == []


async def test_a_charge_that_is_recorded_after_the_end_is_owed_back(
    record: OrderRecord, sql: asyncpg.Connection
) -> None:
    await receive(record)
    await record.begin_payment(payment())
    await record.record("ord-1", progress(2, Step.FAILED, completed_at=AT))
    await record.finish_payment(payment(), PaymentStatus.CHARGED, "ch_1")
    told = await sql.fetchrow("select status, since > $1 as newly from owed_payments", AT)
    assert tuple(told) == (PaymentStatus.CHARGED, True)


async def test_what_was_owed_before_the_migration_is_found_after_it(empty_postgres_url: str, tmp_path: Path) -> None:
    for file in sorted(default_directory().glob("000[1-5]_*.sql")):
        shutil.copy(file, tmp_path)
    await migrate(empty_postgres_url, tmp_path)
    connection = await asyncpg.connect(empty_postgres_url)
    await connection.execute(_FROM_BEFORE)
    await migrate(empty_postgres_url)
    assert [tuple(row) for row in await connection.fetch("select order_id, status from owed_payments")] == [
        ("ord-canceled", "CHARGED")
    ]
    assert await connection.fetchval("select array_agg(order_id) from orders where version > 1") == ["ord-canceled"]
    await connection.close()


_FROM_BEFORE = """
insert into orders (
    order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
    items, address, payment_id, amount, currency, step, created_at, completed_at
)
select
    'ord-' || step, 'order-' || step, 'run', 'run', '', '', '', '', '', '[]', '{}', 'pay-' || step, 1, 'USD', step,
    now(), now()
from unnest(array['shipped', 'canceled', 'failed']) as step;
insert into payments (payment_id, order_id, status, amount, currency)
select payment_id, order_id, case step when 'failed' then 'REFUNDED' else 'CHARGED' end, 1, 'USD' from orders;
"""
