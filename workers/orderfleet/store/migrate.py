"""Applies migrations, forward only: each file once, in a transaction of its own. Then it grants the runtime role.

`orderfleet migrate` and the Helm hook job call it. A file that fails changes nothing. A database whose applied files
do not match is never changed. It also owns the partitions of the events table: one per month, created ahead and dropped
whole. The default partition holds the events of months without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from orderfleet.domain.errors import OrderfleetError
from orderfleet.store.errors import first_line, is_unavailable, translate_errors
from orderfleet.store.migration_files import Applied, Migration, MigrationError, default_directory, outstanding, read
from orderfleet.store.pool import statement

_LOCK: Final = 0x4F524446  # any number that no other program on this database uses
_LOCK_TIMEOUT: Final = "10min"
_INITIAL_BACKOFF: Final = 0.1
_MAX_BACKOFF: Final = 2.0

MONTHS_AHEAD: Final = 12
"""Months after the current one that get a partition: longer than any fleet runs without a migration or a prune."""

_PARTITION_LOCK_TIMEOUT: Final = "2s"
"""Writers queue behind the lock. A month whose partition can't be locked is left for the next call."""

_TABLE: Final = """
create table if not exists schema_migrations (
    number      integer primary key,
    name        text        not null,
    checksum    text        not null,
    applied_at  timestamptz not null default now(),
    oldest      integer
);
alter table schema_migrations add column if not exists oldest integer
"""


async def migrate(
    database_url: str, directory: Path | None = None, *, wait: timedelta = timedelta(0), accept_newer: bool = False
) -> list[str]:
    """Apply the files that the database does not have yet; return their names.

    Of several calls at the same time, one applies the files and the others wait for it.

    Args:
        database_url: of the database itself; its user must be allowed to create tables.
        directory: of the files; by default those of this installation.
        wait: how long Postgres may take to come up.
        accept_newer: whether the database may have files of a later version that still work with this version, as
            after a rollback.

    Raises:
        MigrationError: a file failed, or the files do not match the applied ones.
        StoreUnavailable: Postgres did not answer.
    """
    migrations = read(directory or default_directory())
    done: list[str] = []
    async with connected(database_url, wait) as connection:
        await connection.execute(f"set lock_timeout = '{_LOCK_TIMEOUT}'")
        await connection.fetch("select pg_advisory_lock($1)", _LOCK)
        await connection.execute("reset lock_timeout")
        await connection.execute(f"set client_min_messages = warning; {_TABLE}")
        for migration in outstanding(migrations, await _applied(connection), accept_newer=accept_newer):
            await _apply(connection, migration)
            done.append(migration.name)
        await create_partitions(connection)
    return done


async def pending(
    database_url: str, directory: Path | None = None, *, wait: timedelta = timedelta(0), accept_newer: bool = False
) -> list[str]:
    """Return the names of the files that `migrate` would apply; change nothing. Raises as `migrate`."""
    migrations = read(directory or default_directory())
    async with connected(database_url, wait) as connection:
        found = outstanding(migrations, await _applied(connection), accept_newer=accept_newer)
        return [migration.name for migration in found]


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (number, name, checksum, oldest) values ($1, $2, $3, $4)",
                migration.number,
                migration.name,
                migration.checksum,
                migration.oldest,
            )
    except asyncpg.PostgresError as error:
        if is_unavailable(error):
            raise
        raise MigrationError(
            f"{migration.name} failed and left nothing behind: {first_line(error)}{_line(error, migration.sql)}"
        ) from error


def _line(error: asyncpg.PostgresError, sql: str) -> str:
    position = getattr(error, "position", None)
    return f" (line {sql.count(chr(10), 0, int(position)) + 1})" if position else ""


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[int, Applied]:
    if await connection.fetchval("select to_regclass('schema_migrations') is null"):
        return {}
    # `pending` must not add the column `oldest`, so the statement names no column that an older table lacks.
    rows = await connection.fetch("select * from schema_migrations")
    return {row["number"]: Applied(row["name"], row["checksum"], row.get("oldest")) for row in rows}


@asynccontextmanager
async def connected(url: str, wait: timedelta) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect outside the pool, for one command, when Postgres is up.

    Raises:
        StoreUnavailable: Postgres did not answer within `wait`.
    """
    with translate_errors():
        connection = await _connect(url, wait)
        try:
            yield connection
        finally:
            # The session's end releases the lock, also when this process is killed.
            await connection.close(timeout=5)


async def _connect(url: str, wait: timedelta) -> asyncpg.Connection[asyncpg.Record]:
    loop = asyncio.get_running_loop()
    end = loop.time() + wait.total_seconds()
    backoff = _INITIAL_BACKOFF
    while True:
        try:
            return await asyncpg.connect(
                url, timeout=max(end - loop.time(), 5), server_settings={"application_name": "orderfleet-migrate"}
            )
        except Exception as error:
            if not is_unavailable(error) or loop.time() + backoff > end:
                raise
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, _MAX_BACKOFF)


class WrongRole(OrderfleetError):
    """The role cannot be the runtime role; the message says why and what to do."""


async def check_runtime_role(database_url: str, role: str, *, wait: timedelta = timedelta(0)) -> None:
    """Raise the error that `grant_runtime_role` would raise, before anything is migrated. Arguments as of it."""
    async with connected(database_url, wait) as connection:
        await _check_role(connection, role)


async def grant_runtime_role(database_url: str, role: str, *, wait: timedelta = timedelta(0)) -> None:
    """Grant `role` what running processes need, and revoke its other rights on Orderfleet's tables.

    Args:
        database_url: of the database; its user must own the tables.
        role: name of the role that workers, operator and API log in as.
        wait: how long Postgres may take to come up.

    Raises:
        WrongRole: the role does not exist, or is a superuser or a member of the owner.
        StoreUnavailable: Postgres did not answer.
    """
    async with connected(database_url, wait) as connection:
        await _check_role(connection, role)
        async with connection.transaction():
            await connection.execute("select set_config('orderfleet.runtime_role', $1, true)", role)
            await connection.execute(statement("runtime_role"))


async def _check_role(connection: asyncpg.Connection[asyncpg.Record], role: str) -> None:
    problem = await connection.fetchval(statement("runtime_role_problem"), role)
    if problem is not None:
        raise WrongRole(f"the runtime role {role!r} can't be used: {problem}")


async def create_partitions(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Create the partitions of the current month and of the next ones, if the schema has partitions."""
    if await connection.fetchval("select to_regproc('create_events_partition') is null"):
        return
    now = datetime.now(UTC)
    first = now.year * 12 + now.month - 1
    for number in range(first, first + MONTHS_AHEAD + 1):
        if not await _call_for_month(connection, "create_events_partition", date(number // 12, number % 12 + 1, 1)):
            return


async def detach_prunable_partitions(connection: asyncpg.Connection[asyncpg.Record], before: datetime) -> None:
    """Detach the partitions of which every order ended before a time and can be pruned."""
    for month, attached in await connection.fetch(statement("events_partitions")):
        end = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        if not attached or end > before:
            continue
        if not await connection.fetchval(statement("events_partition_in_use"), month, before):
            await _call_for_month(connection, "detach_events_partition", month)


async def drop_detached_partitions(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Drop the detached partitions, also those that an interrupted call left."""
    for month, attached in await connection.fetch(statement("events_partitions")):
        if not attached:
            await _call_for_month(connection, "drop_events_partition", month)


async def _call_for_month(connection: asyncpg.Connection[asyncpg.Record], function: str, month: date) -> bool:
    """Call a function of the schema; return whether it got its locks."""
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{_PARTITION_LOCK_TIMEOUT}'")
            await connection.execute(f"select {function}($1)", month)
    except asyncpg.LockNotAvailableError:
        return False
    return True
