"""Pending payments: the database, its readers in Python and the backlog have one definition."""

from __future__ import annotations

import itertools

import asyncpg
import pytest

from orderfleet.domain.payment import Refund
from orderfleet.domain.status import PaymentStatus, PendingCustomer, Step, payment_pending
from orderfleet.observability.operator_metrics import BacklogKind
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.sample_rows import AT, CHARGE, UNDO, force_payment_status, payment, progress, receive, sample_order

PAIRS = tuple(itertools.product(Step, PaymentStatus))


async def test_sql_and_python_agree_on_pending_payments(
    database: Database, writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    pairs = {f"{step}-{paid}": (step, paid) for step, paid in PAIRS}
    for order_id, (_, paid) in pairs.items():
        await receive(writes, sample_order(order_id))
        await writes.begin_payment(payment(order_id))
        await force_payment_status(sql, order_id, paid)
    for order_id, (step, _) in pairs.items():
        await writes.record(order_id, progress(2, step, completed_at=AT))

    pending = {order_id for order_id, pair in pairs.items() if payment_pending(*pair)}
    rows = await sql.fetch(
        "select order_id from orders join payments using (order_id) where payment_pending(step, status)"
    )
    assert {row["order_id"] for row in rows} == pending
    assert sorted(row["order_id"] for row in await sql.fetch("select order_id from pending_payments")) == sorted(
        pending
    )
    found = {order_id: await reads.order(order_id) for order_id in pairs}
    assert {order_id for order_id, each in found.items() if each and not each.status.settled} == pending
    counted = {one.key: one.count for one in await OrderReads(database).backlog() if one.kind is BacklogKind.PAYMENT}
    # Those of canceled and failed orders are counted together, whatever their status.
    assert counted == dict.fromkeys(("INIT", "PENDING", "REFUNDING"), len(Step)) | {"CHARGED": 4 * 2}


@pytest.mark.parametrize("step", [Step.CANCELED, Step.FAILED])
async def test_refund_of_a_charge_is_pending_from_the_end_until_it_is_refunded(
    writes: OrderWrites, sql: asyncpg.Connection, step: Step
) -> None:
    async def pending() -> list[str]:
        return [row["status"] for row in await sql.fetch("select status from pending_payments")]

    await receive(writes)
    await writes.begin_payment(payment())
    assert await pending() == [PaymentStatus.INIT]
    await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE)
    assert await pending() == []
    await writes.record("ord-1", progress(2, step, completed_at=AT))
    assert await pending() == [PaymentStatus.CHARGED]
    decision = await writes.begin_refund("pay-ord-1", "ord-1", UNDO, undo=True)
    assert await pending() == [PaymentStatus.REFUNDING]
    await writes.finish_refund(decision.parts[0], Refund(reference="re_1"))
    assert await pending() == []


async def test_refund_of_a_charge_recorded_after_the_end_is_pending(
    writes: OrderWrites, sql: asyncpg.Connection
) -> None:
    await receive(writes)
    await writes.begin_payment(payment())
    await writes.record("ord-1", progress(2, Step.FAILED, completed_at=AT))
    await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE)
    row = await sql.fetchrow("select status, since > $1 as newly from pending_payments", AT)
    assert tuple(row) == (PaymentStatus.CHARGED, True)


async def test_payment_that_waits_for_its_customer_is_counted_as_undone_from_the_fence_until_its_void(
    database: Database, writes: OrderWrites, sql: asyncpg.Connection
) -> None:
    async def counted() -> dict[str, float]:
        found = [one for one in await OrderReads(database).backlog() if one.kind is BacklogKind.PAYMENT]
        return {one.key: one.oldest for one in found}

    await receive(writes)
    await writes.begin_payment(payment())
    waits = CHARGE.model_copy(update={"pending": PendingCustomer(url="https://pay.example/1")})
    await writes.finish_payment(payment(), PaymentStatus.PENDING, waits)
    await sql.execute("update payments set updated_at = now() - interval '1 hour'")
    assert (await counted())["PENDING"] == pytest.approx(3600, abs=60)
    fenced = await writes.fence_payment(payment())
    assert fenced.payment.status is PaymentStatus.PENDING
    found = await OrderReads(database).payment("pay-ord-1")
    assert found is not None
    assert found.pending == PendingCustomer(), "the page is not shown any more"
    assert await counted() == {"CHARGED": pytest.approx(0, abs=60)}
    await writes.finish_payment(fenced.open[0], PaymentStatus.VOIDED)
    assert await counted() == {}
