"""The tables of the audit trail: one for each month, made ahead of time and dropped whole.

`migrate` and `erasure` call it, as the role that owns the tables. Where it can't get hold of a table at once it leaves
the month for the next time and never makes writers queue up behind it: what has no table goes where all such goes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import asyncpg

from orderfleet.store.statements import statement

AHEAD: Final = 12
"""Months after the present one that have a table: longer than anybody goes without a migration or a `prune`."""

_LOCK_TIMEOUT: Final = "2s"


async def make_ahead(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Give the present month and those to come a table each, where the schema has such tables."""
    if await connection.fetchval("select to_regproc('add_event_month') is null"):
        return
    now = datetime.now(UTC)
    first = now.year * 12 + now.month - 1
    for number in range(first, first + AHEAD + 1):
        if not await _done(connection, "add_event_month", date(number // 12, number % 12 + 1, 1)):
            return


async def detach_spent(connection: asyncpg.Connection[asyncpg.Record], before: datetime) -> None:
    """Take those months out of the trail whose orders all ended before a time and may be pruned."""
    for month, attached in await connection.fetch(statement("months")):
        over = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC) <= before
        if attached and over and await connection.fetchval(statement("spent_month"), month, before):
            await _done(connection, "detach_event_month", month)


async def drop_detached(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Drop the months that were taken out, also by an earlier run that was interrupted."""
    for month, attached in await connection.fetch(statement("months")):
        if not attached:
            await _done(connection, "drop_event_month", month)


async def _done(connection: asyncpg.Connection[asyncpg.Record], function: str, month: date) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
            await connection.execute(f"select {function}($1)", month)
    except asyncpg.LockNotAvailableError:
        return False
    return True
