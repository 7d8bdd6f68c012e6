"""Partitions of the events table: one per month, created ahead and dropped whole.

`migrate` and `erasure` call it as the role that owns the tables. It waits for a lock at most 2 s, because writers queue
behind it; a month whose partition it cannot lock is left for the next call. The default partition holds the
events of months without one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import asyncpg

from orderfleet.store.statements import statement

MONTHS_AHEAD: Final = 12
"""Months after the current one that get a partition: longer than any fleet runs without a migration or a prune."""

_LOCK_TIMEOUT: Final = "2s"


async def create_ahead(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Create the partitions of the current month and of the next ones, if the schema has partitions."""
    if await connection.fetchval("select to_regproc('create_events_partition') is null"):
        return
    now = datetime.now(UTC)
    first = now.year * 12 + now.month - 1
    for number in range(first, first + MONTHS_AHEAD + 1):
        if not await _call(connection, "create_events_partition", date(number // 12, number % 12 + 1, 1)):
            return


async def detach_prunable(connection: asyncpg.Connection[asyncpg.Record], before: datetime) -> None:
    """Detach the partitions of which every order ended before a time and can be pruned."""
    for month, attached in await connection.fetch(statement("events_partitions")):
        end = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        if not attached or end > before:
            continue
        if not await connection.fetchval(statement("events_partition_in_use"), month, before):
            await _call(connection, "detach_events_partition", month)


async def drop_detached(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Drop the detached partitions, also those that an interrupted call left."""
    for month, attached in await connection.fetch(statement("events_partitions")):
        if not attached:
            await _call(connection, "drop_events_partition", month)


async def _call(connection: asyncpg.Connection[asyncpg.Record], function: str, month: date) -> bool:
    """Call a function of the schema; return whether it got its locks."""
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
            await connection.execute(f"select {function}($1)", month)
    except asyncpg.LockNotAvailableError:
        return False
    return True
