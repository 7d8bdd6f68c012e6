"""Measures the order store with a million orders and an empty one: rate of the same statements, and buffers of each.

It uses Postgres alone. The statements are the product's; `generate_series` makes rows as a shipped order leaves them.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import asyncpg

from bench.contenders import ITEMS
from orderfleet.domain.events import AuditEvent, EventKind, Progress
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.domain.transitions import shipment_origins
from orderfleet.store.encoding import as_json
from orderfleet.store.migrate import migrate
from orderfleet.store.pool import statement
from support.factories import ADDRESS

_FILL = (
    """insert into orders (
           order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
           items, address, payment_id, amount, currency, step, approved, recorded_seq, version, changed_xid,
           created_at, updated_at, completed_at, received_month
       )
       select 'old-' || n, 'order-old-' || n, 'r', 'r', 'shop/old-' || n, '', '', '', '',
       '[]', '{}', 'pay-old-' || n, 1, 'USD', 'shipped', true, 1, 1, pg_current_xact_id(),
       now() - n * interval '1 second', now(), now(), date_trunc('month', now() - n * interval '1 second')
       from generate_series($1::int, $2::int) n""",
    """insert into payments (payment_id, order_id, status, amount, currency, reference)
       select 'pay-old-' || n, 'old-' || n, 'CHARGED', 1, 'USD', 'ref'
       from generate_series($1::int, $2::int) n""",
    """insert into shipments select 'shipping-old-' || n || '-1', 'old-' || n, 1, 'dispatched', 'c', 't', 1
       from generate_series($1::int, $2::int) n""",
    """insert into events (order_id, key, kind, step, at, received_month)
       select 'old-' || n, kind, kind, 'shipped', now(), date_trunc('month', now() - n * interval '1 second')
       from generate_series($1::int, $2::int) n,
       unnest('{received,validated,approved,charge_started,charged,package_prepared,dispatched,shipped}'::text[]) kind
       order by n""",
)
_BATCH = 50_000


async def measure_order_store(url: str, orders: int, *, rounds: int = 5, chunk: int = 100) -> dict[str, Any]:
    """Measure an empty database and one with other orders.

    Args:
        url: a Postgres server; two databases are created.
        orders: number of other orders.
        rounds: interleaved rounds.
        chunk: orders of a round.

    Returns:
        Orders per second and buffers per statement, of both.
    """
    made = [await create_database(url, name) for name in ("empty_store", "full_store")]
    empty, full = [await asyncpg.connect(each, statement_cache_size=200) for each in made]
    try:
        await _fill(full, orders)
        for connection in (empty, full):
            await _lives(connection, 20)
        # Interleaved, because the server still writes pages of the filled database.
        pairs = [(await _lives(empty, chunk), await _lives(full, chunk)) for _ in range(rounds)]
        buffers = [await _buffers(connection) for connection in (empty, full)]
    finally:
        await empty.close()
        await full.close()
    return {
        "orders": orders,
        "lives_empty": median(one for one, _ in pairs),
        "lives_full": median(other for _, other in pairs),
        "crowded_rate": median(other / one for one, other in pairs),
        "crowded_buffers": max(buffers[1][name] - buffers[0][name] for name in buffers[0]),
        "buffers_empty": buffers[0],
        "buffers_full": buffers[1],
    }


async def create_database(url: str, name: str) -> str:
    """Create a database with the migrations applied; return its URL."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    made = url.rpartition("/")[0] + f"/{name}"
    await migrate(made)
    return made


async def _fill(connection: asyncpg.Connection[asyncpg.Record], orders: int) -> None:
    # Without triggers: they write a number and a notification per row, which are not measured.
    await connection.execute("set session_replication_role = replica")
    for first in range(1, orders + 1, _BATCH):
        for sql in _FILL:
            await connection.execute(sql, first, min(first + _BATCH - 1, orders))
    await connection.execute("set session_replication_role = origin")
    await connection.execute("vacuum (analyze)")
    await connection.execute("checkpoint")


async def _lives(connection: asyncpg.Connection[asyncpg.Record], count: int) -> float:
    """Run the statements of `count` orders one after the other; orders per second."""
    began = time.perf_counter()
    for _ in range(count):
        for name, values in _life(f"new-{uuid.uuid4().hex[:12]}"):
            await connection.fetch(statement(name), *values)
    return count / (time.perf_counter() - began)


async def _buffers(connection: asyncpg.Connection[asyncpg.Record], lives: int = 15) -> dict[str, float]:
    """Buffers that each statement hits or reads, without planning.

    Medians over `lives` orders, because a statement can meet a full page, or one to clean up.
    """
    found: defaultdict[str, list[int]] = defaultdict(list)
    for _ in range(lives):
        for number, (name, values) in enumerate(_life(f"explained-{uuid.uuid4().hex[:12]}"), start=1):
            rows = await connection.fetch(f"explain (analyze, buffers, format json) {statement(name)}", *values)
            plan = json.loads(rows[0][0])[0]["Plan"]
            found[f"{number} {name}"].append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return {name: median(counts) for name, counts in found.items()}


def _life(order_id: str) -> list[tuple[str, Sequence[object]]]:
    """The statements, with their values, of an order that is approved at its creation and shipped."""
    payment, shipment = f"pay-{order_id}", f"shipping-{order_id}-1"
    now = datetime.now(UTC)

    def progress(number: int, step: Step, *kinds: EventKind, ended: bool = False) -> str:
        events = tuple(AuditEvent(key=kind, kind=kind, step=step, at=now) for kind in kinds)
        return as_json(
            Progress(seq=number, step=step, approved=True, events=events, completed_at=now if ended else None)
        )

    def parcel(status: ShipmentStatus, kind: EventKind) -> tuple[object, ...]:
        event = AuditEvent(key=kind, kind=kind, step=Step.SHIPPING, at=now)
        return (
            *(shipment, order_id, 1, status, "carrier", "track", 1, None, shipment_origins(status)),
            as_json([event]),
        )

    received = progress(1, Step.RECEIVE, EventKind.RECEIVED)
    finish = {"number": 1, "amount": 1, "currency": "USD", "method": "", "capture": "immediate", "reference": "ref"}
    finished = json.dumps(finish | {"status": PaymentStatus.CHARGED})
    begun = progress(3, Step.CHARGE, EventKind.CHARGE_STARTED)
    charged = progress(4, Step.SHIPPING, EventKind.CHARGED)
    return [
        (
            "receive",
            (
                *(order_id, f"order-{order_id}", "run", "run", f"shop/{order_id}", "", "", "", ""),
                *(as_json(ITEMS), as_json(ADDRESS), payment, 1, "USD", received, now - timedelta(seconds=1), None),
                *("", "[]"),
            ),
        ),
        ("record", (order_id, progress(2, Step.CHARGE, EventKind.VALIDATED, EventKind.APPROVED))),
        (
            "begin_payment",
            (payment, order_id, 1, "USD", begun, "immediate", "", 1),
        ),
        (
            "finish_payment",
            (payment, order_id, finished, charged),
        ),
        ("record_shipment", parcel(ShipmentStatus.PREPARED, EventKind.PACKAGE_PREPARED)),
        ("record_shipment", parcel(ShipmentStatus.DISPATCHED, EventKind.DISPATCHED)),
        ("record", (order_id, progress(5, Step.SHIPPED, EventKind.SHIPPED, ended=True))),
    ]
