"""The backlog in Postgres, unfinished orders and pending payments, and in Temporal, waiting tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.durations import MAX_DURATION
from orderfleet.domain.status import Hold, PaymentStatus, Step
from orderfleet.domain.stock import LevelCount
from orderfleet.observability.operator_metrics import BacklogKind, BacklogSample
from orderfleet.operator.main import sample_task_queues
from orderfleet.store.pool import Database, statement
from orderfleet.store.reads import OrderReads
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin
from orderfleet.store.writes import OrderWrites
from support.polling import eventually
from support.sample_rows import AT, CHARGE, payment, progress, receive, sample_order
from support.stock_rows import expire, places, put_in, reservation

FEW, MANY = 40, 60_000
"""Enough that a plan that reads finished orders reads far more; the right one costs the same at a million."""
FINISHED = f"""
set session_replication_role = replica;
insert into orders (
    order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
    items, address, payment_id, amount, currency, step, version, changed_xid, created_at, updated_at, completed_at,
    deadline_at, refund_pending, received_month
)
select
    'ord-' || n, 'order-ord-' || n, 'run', 'run', '', '', '', '', '', '[]', '{{}}', 'pay-' || n, 1, 'USD',
    case when n <= {FEW} then 'charge' when n % 3 = 0 then 'canceled' else 'shipped' end, 1, '1',
    now() - interval '2 days', now(),
    case when n > {FEW} then now() end, now() - interval '1 day',
    n % 3 = 0 and n between {FEW + 1} and {2 * FEW}, date_trunc('month', now())
from generate_series(1, {MANY}) n;
insert into payments (payment_id, order_id, status, amount, currency)
select 'pay-' || n, 'ord-' || n,
    case when n <= {FEW} then 'INIT' when n % 3 = 0 and n > {2 * FEW} then 'REFUNDED' else 'CHARGED' end, 1, 'USD'
from generate_series(1, {MANY}) n;
insert into stock_levels (sku, location, on_hand, reserved)
select 'sku-' || n, 'main', 2, case when n <= {FEW} then 2 else 1 end from generate_series(1, {MANY}) n;
insert into stock_reservations (owner, line, sku, location, qty, committed, state, expires_at, created_at)
select 'ord-' || n, '1', 'sku-' || n, 'main', 1, case when n <= {FEW} then 0 else 1 end,
    case when n <= {FEW} then 'held' else 'committed' end, case when n <= {FEW} then now() end, now()
from generate_series(1, {MANY}) n;
reset session_replication_role;
"""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def test_backlog_counts_unfinished_orders_and_pending_payments_with_the_oldest(
    database: Database, writes: OrderWrites
) -> None:
    for number, step in enumerate((Step.MANUAL_REVIEW, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPED)):
        await receive(writes, sample_order(f"ord-{number}"), progress(1, step))
    await writes.begin_payment(payment("ord-2"))
    await writes.begin_payment(payment("ord-3"))
    await writes.finish_payment(payment("ord-3"), PaymentStatus.CHARGED, CHARGE)
    found = {(one.kind, one.key): one for one in await OrderReads(database).backlog()}
    assert {key: one.count for key, one in found.items()} == {
        (BacklogKind.ORDER, "manual_review"): 2,
        (BacklogKind.ORDER, "charge"): 1,
        (BacklogKind.PAYMENT, "INIT"): 1,
    }
    assert found[BacklogKind.ORDER, "charge"].oldest > AT.year
    assert 0 <= found[BacklogKind.PAYMENT, "INIT"].oldest < 60


async def test_backlog_has_overdue_orders_until_they_end(database: Database, writes: OrderWrites, sql) -> None:
    in_time, gone = AT.now(UTC) - AT + timedelta(hours=1), timedelta(minutes=1)
    deadlines = {"late": gone, "in-time": in_time, "no-deadline": None, "never": MAX_DURATION, "late-but-shipped": gone}
    for order_id, deadline in deadlines.items():
        step = Step.SHIPPED if order_id == "late-but-shipped" else Step.CHARGE
        await receive(writes, sample_order(order_id, deadline=deadline), progress(1, step))

    async def overdue() -> list[BacklogSample]:
        return [one for one in await OrderReads(database).backlog() if one.kind is BacklogKind.OVERDUE_ORDER]

    (sample,) = await overdue()
    assert (sample.key, sample.count) == ("charge", 1)
    overdue_seconds = (AT.now(UTC) - AT - gone).total_seconds()
    assert sample.oldest == pytest.approx(overdue_seconds, abs=60)
    await writes.record("late", progress(2, Step.CANCELED, completed_at=AT))
    assert await overdue() == []


async def test_backlog_has_held_orders_until_the_hold_ends(database: Database, writes: OrderWrites) -> None:
    since = AT.now(UTC) - timedelta(minutes=20)
    hold = Hold(name="payment_required", reason="no funds", remedy="pay", since=since, until=since + timedelta(days=7))
    await receive(writes, sample_order("held"), progress(1, Step.SHIPPING, hold=hold))

    async def held() -> list[BacklogSample]:
        return [one for one in await OrderReads(database).backlog() if one.kind is BacklogKind.HELD_ORDER]

    (sample,) = await held()
    assert (sample.key, sample.count) == ("payment_required", 1)
    assert sample.oldest == pytest.approx(20 * 60, abs=60)
    await writes.record("held", progress(2, Step.SHIPPED))
    assert await held() == []


async def test_backlog_has_levels_without_a_free_piece_and_expired_reservations(database: Database, sql) -> None:
    stock, admin = PostgresStock(database), StockAdmin(database)
    await put_in(admin, east=1, north=1, west=1)
    await stock.reserve([reservation("ord-1", east=1), reservation("ord-2", west=1, confirm=True)])
    await stock.pass_gate("ord-2", places(west=1))
    await admin.count([LevelCount(sku="tea", location="west", on_hand=0)], "stocktaking", "test")
    await expire(sql, ["ord-1"])
    found = {(one.kind, one.key): one for one in await OrderReads(database).backlog()}
    assert {key: one.count for key, one in found.items()} == {
        (BacklogKind.STOCK_LEVEL, "sold_out"): 1,
        (BacklogKind.STOCK_LEVEL, "short"): 1,
        (BacklogKind.EXPIRED_RESERVATION, "held"): 1,
    }
    assert 1 <= found[BacklogKind.EXPIRED_RESERVATION, "held"].oldest < 60
    await stock.remove_expired()
    assert {one.key for one in await OrderReads(database).backlog()} == {"short"}


async def test_backlog_query_does_not_read_finished_orders(database: Database, sql) -> None:
    await sql.execute(FINISHED)
    for table in ("orders", "payments", "stock_levels", "stock_reservations"):
        await sql.execute(f"vacuum (analyze) {table}")
    explained = await sql.fetchval(f"explain (analyze, buffers, format json) {statement('backlog')}")
    plan = json.loads(explained)[0]["Plan"]
    shown = json.dumps(plan, indent=1)
    used = {node.get("Index Name") for node in nodes(plan)} - {None}
    assert used == {
        "orders_by_step",
        "orders_by_deadline",
        "orders_held",
        "payments_pending",
        "orders_refund_pending",
        "payments_pkey",
        "payment_differences_open",
        "payment_reconciliations_pkey",
        "stock_levels_sold_out",
        "stock_reservations_by_expiry",
    }, shown
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"], shown
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 300, shown
    found = {(one.kind, one.key): one.count for one in await OrderReads(database).backlog()}
    assert found[BacklogKind.PAYMENT, "INIT"] == found[BacklogKind.OVERDUE_ORDER, "charge"] == FEW
    assert found[BacklogKind.PAYMENT, "CHARGED"] == len([n for n in range(FEW + 1, 2 * FEW + 1) if n % 3 == 0])


async def test_backlog_of_task_queues_counts_waiting_tasks(temporal_client: Client, task_queues: Any) -> None:
    queues = [task_queues.orders, task_queues.shipping]
    for number in range(3):
        await temporal_client.start_workflow(
            names.ORDER_WORKFLOW, id=f"{task_queues.orders}-{number}", task_queue=task_queues.orders
        )

    async def counted() -> bool:
        found = {(one.key, one.kind): one.count for one in await sample_task_queues(temporal_client, queues)}
        assert found[task_queues.shipping, BacklogKind.ACTIVITY_TASK] == 0
        return found[task_queues.orders, BacklogKind.WORKFLOW_TASK] == 3

    await eventually(counted)
    for number in range(3):
        await temporal_client.get_workflow_handle(f"{task_queues.orders}-{number}").terminate()
