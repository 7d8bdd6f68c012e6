"""Measures reservations of one SKU that everybody wants: beside a million past reservations, and in an empty database.

It uses Postgres alone, two connections, and the product's statement. `generate_series` makes rows as dispatched orders
leave them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from statistics import median
from typing import Any, Final

import asyncpg

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
        Reservations per second in both, one by one, and the ratio of each round.
    """
    empty, full = await create_database(url, "empty_stock"), await create_database(url, "full_stock")
    await _prepare(empty, 1, 0)
    await _prepare(full, SKUS, reservations)
    for each in (empty, full):
        await _rate(each, chunk // 10, batch)
    # Interleaved, because the server still writes pages of the filled database.
    pairs = [(await _rate(empty, chunk, batch), await _rate(full, chunk, batch)) for _ in range(rounds)]
    ratios = sorted(other / one for one, other in pairs)
    return {
        "stock_reservations": reservations,
        "stock_empty": median(one for one, _ in pairs),
        "stock_full": median(other for _, other in pairs),
        "stock_single": median([await _rate(full, chunk // 5, 1) for _ in range(3)]),
        "stock_crowded": median(ratios),
        "stock_crowded_low": ratios[0],
        "stock_crowded_high": ratios[-1],
    }


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


async def _rate(url: str, count: int, batch: int) -> float:
    """Reserve one piece of one SKU for each of `count` owners; reservations per second."""
    opened = [await asyncpg.connect(url) for _ in range(_CONNECTIONS)]
    try:
        began = time.perf_counter()
        await asyncio.gather(*(_reserve(each, count // batch // _CONNECTIONS, batch) for each in opened))
        return count / (time.perf_counter() - began)
    finally:
        for each in opened:
            await each.close()


async def _reserve(connection: asyncpg.Connection[asyncpg.Record], calls: int, batch: int) -> None:
    line = (StockPlace(line="1", sku="sku-1", location="main", qty=1),)
    for _ in range(calls):
        wanted = [
            Reservation(owner=f"new-{uuid.uuid4().hex[:12]}", revision=1, lines=line, seconds=3600)
            for _ in range(batch)
        ]
        rows = await connection.fetch(statement("reserve_stock"), as_json(wanted))
        assert rows[0]["answer"].count("applied") == batch, rows[0]["answer"]
