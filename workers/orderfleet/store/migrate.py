"""Migrations, forward only: each file once, in a transaction of its own, whoever starts it and how often.

`orderfleet migrate`, the Helm hook job and the test harness call it. A file that fails leaves
nothing behind; a database whose files don't fit is never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg

from orderfleet.store import partitions
from orderfleet.store.errors import is_away, told, translated
from orderfleet.store.migration_files import Applied, Migration, MigrationError, default_directory, outstanding, read

_LOCK: Final = 0x4F524446  # any number that no other program on this database uses
_LOCK_TIMEOUT: Final = "10min"
_FIRST_GAP: Final = 0.1
_LONGEST_GAP: Final = 2.0
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
    database_url: str,
    directory: Path | None = None,
    *,
    wait: timedelta = timedelta(0),
    accept_newer: bool = False,
) -> list[str]:
    """Apply what the database doesn't have yet; return the names of the files applied.

    Started more than once at the same time, one does the work and the others wait for it.

    Args:
        database_url: of the database itself; its user must be allowed to create tables.
        directory: of the files; by default those of this installation.
        wait: how long Postgres may take to come up.
        accept_newer: whether the database may have files of a later version, as long as they don't leave this
            one behind: after a rollback it has.

    Raises:
        MigrationError: a file failed, or the files don't fit what was applied.
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
        await partitions.create_ahead(connection)
    return done


async def pending(
    database_url: str,
    directory: Path | None = None,
    *,
    wait: timedelta = timedelta(0),
    accept_newer: bool = False,
) -> list[str]:
    """Names of the files that `migrate` would apply; changes nothing. Raises as `migrate`."""
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
        if is_away(error):
            raise
        raise MigrationError(
            f"{migration.name} failed and left nothing behind: {told(error)}{_place(error, migration.sql)}"
        ) from error


def _place(error: asyncpg.PostgresError, sql: str) -> str:
    position = getattr(error, "position", None)
    return f" (line {sql.count(chr(10), 0, int(position)) + 1})" if position else ""


async def _applied(connection: asyncpg.Connection[asyncpg.Record]) -> dict[int, Applied]:
    if await connection.fetchval("select to_regclass('schema_migrations') is null"):
        return {}
    # Whole rows: `pending` changes nothing, so the table may be from before it had the last column.
    rows = await connection.fetch("select * from schema_migrations")
    return {row["number"]: Applied(row["name"], row["checksum"], row.get("oldest")) for row in rows}


@asynccontextmanager
async def connected(url: str, wait: timedelta) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of one command, beside the pool, once Postgres is up.

    Raises:
        StoreUnavailable: Postgres did not answer within `wait`.
    """
    with translated():
        connection = await _connect(url, wait)
        try:
            yield connection
        finally:
            # The lock goes with the session, also when this process is killed.
            await connection.close(timeout=5)


async def _connect(url: str, wait: timedelta) -> asyncpg.Connection[asyncpg.Record]:
    loop = asyncio.get_running_loop()
    end = loop.time() + wait.total_seconds()
    gap = _FIRST_GAP
    while True:
        try:
            return await asyncpg.connect(
                url, timeout=max(end - loop.time(), 5), server_settings={"application_name": "orderfleet-migrate"}
            )
        except Exception as error:
            if not is_away(error) or loop.time() + gap > end:
                raise
        await asyncio.sleep(gap)
        gap = min(gap * 2, _LONGEST_GAP)
