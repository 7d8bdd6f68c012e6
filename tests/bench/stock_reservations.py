"""Measures reservations of one SKU that everybody wants: beside a million past reservations, and in an empty database.

It uses Postgres alone, two connections, and the product's statement. `generate_series` makes rows as dispatched orders
leave them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from statistics import median
from typing import Any, Final, NamedTuple

import asyncpg
import psutil

from bench.order_store import create_database
from orderfleet.domain.stock import Reservation, StockPlace
from orderfleet.store.encoding import as_json
from orderfleet.store.pool import statement

SKUS: Final = 10_000
BATCH: Final = 20
"""Reservations of one call, as a worker sends them when many wait."""
_CONNECTIONS: Final = 2
_LEVELS = """insert into stock_levels (sku, location, on_hand)
    select 'sku-' || n, 'main', 1000000000 from generate_series(1, $1::int) n"""
_FILL = (
    """insert into stock_owners (owner, revision, content)
       select 'old-' || n, 1, md5(n::text) from generate_series($1::int, $2::int) n""",
    f"""insert into stock_reservations (owner, line, sku, location, qty, committed, state, created_at)
        select 'old-' || n, '1', 'sku-' || 1 + n % {SKUS}, 'main', 1, 1, 'committed', now()
        from generate_series($1::int, $2::int) n""",
    f"""insert into stock_movements (sku, location, kind, qty, on_hand, actor, owner, line, key)
        select 'sku-' || 1 + n % {SKUS}, 'main', 'committed', -1, 1, 'order', 'old-' || n, '1', 'ship-old-' || n
        from generate_series($1::int, $2::int) n""",
)


async def measure_stock(
    url: str, reservations: int, *, rounds: int = 7, chunk: int = 2000, batch: int = BATCH
) -> dict[str, Any]:
    """Measure an empty database and one with past reservations.

    Args:
        url: a Postgres server; two databases are created.
        reservations: number of past reservations.
        rounds: interleaved rounds.
        chunk: reservations of a round.
        batch: reservations of one call.

    Returns:
        Rate and CPU of the filled one, 20 in a call and one by one, and their ratios to the empty one with the spread.
    """
    empty, full = await create_database(url, "empty_stock"), await create_database(url, "full_stock")
    await _prepare(empty, 1, 0)
    await _prepare(full, SKUS, reservations)
    for each in (empty, full):
        await _measure(each, chunk // 10, batch)
    # Interleaved, because the server still writes pages of the filled database.
    pairs = [(await _measure(empty, chunk, batch), await _measure(full, chunk, batch)) for _ in range(rounds)]
    single = [await _measure(full, chunk // 5, 1) for _ in range(3)]
    return {
        "stock_reservations": reservations,
        "stock_rate": median(there.rate for _, there in pairs),
        "stock_cpu": median(there.cpu for _, there in pairs),
        "stock_single": median(one.rate for one in single),
        "stock_single_cpu": median(one.cpu for one in single),
        **_spread("stock_crowded", [there.rate / alone.rate for alone, there in pairs]),
        **_spread("stock_crowded_cpu", [there.cpu / alone.cpu for alone, there in pairs]),
    }


class _Round(NamedTuple):
    rate: float
    """Reservations per second."""
    cpu: float
    """Of Postgres for each, in milliseconds; unlike the rate, it hardly depends on what else the machine does."""


def _spread(name: str, ratios: list[float]) -> dict[str, float]:
    return {name: median(ratios), f"{name}_low": min(ratios), f"{name}_high": max(ratios)}


async def _prepare(url: str, skus: int, reservations: int, step: int = 50_000) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("insert into stock_locations (location) values ('main')")
        await connection.execute(_LEVELS, skus)
        for first in range(1, reservations + 1, step):
            for sql in _FILL:
                await connection.execute(sql, first, min(first + step - 1, reservations))
        await connection.execute("vacuum (analyze)")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _measure(url: str, count: int, batch: int) -> _Round:
    """Reserve one piece of one SKU for each of `count` owners."""
    opened = [await asyncpg.connect(url) for _ in range(_CONNECTIONS)]
    try:
        backends = [psutil.Process(each.get_server_pid()) for each in opened]
        calls = count // batch // _CONNECTIONS
        await asyncio.gather(*(_reserve(each, 3, batch) for each in opened))  # plans
        cpu, began = _cpu_seconds(backends), time.perf_counter()
        await asyncio.gather(*(_reserve(each, calls, batch) for each in opened))
        made, seconds = calls * batch * _CONNECTIONS, time.perf_counter() - began
        return _Round(made / seconds, (_cpu_seconds(backends) - cpu) * 1000 / made)
    finally:
        for each in opened:
            await each.close()


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in times)


async def _reserve(connection: asyncpg.Connection[asyncpg.Record], calls: int, batch: int) -> None:
    line = (StockPlace(line="1", sku="sku-1", location="main", qty=1),)
    for _ in range(calls):
        wanted = [
            Reservation(owner=f"new-{uuid.uuid4().hex[:12]}", revision=1, lines=line, seconds=3600)
            for _ in range(batch)
        ]
        rows = await connection.fetch(statement("reserve_stock"), as_json(wanted))
        assert rows[0]["answer"].count("applied") == batch, rows[0]["answer"]
