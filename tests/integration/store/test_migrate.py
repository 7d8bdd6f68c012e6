from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.store.migrate import migrate, pending
from orderfleet.store.migration_files import SNAPSHOT, MigrationError, default_directory, read


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("create table first (id integer);\n")
    (tmp_path / "0002_second.sql").write_text("create table second (id integer);\ninsert into first values (1);\n")
    return tmp_path


@pytest.fixture
async def sql(empty_postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_postgres_url)
    yield connection
    await connection.close()


async def tables(sql: asyncpg.Connection) -> set[str]:
    return {row[0] for row in await sql.fetch("select tablename from pg_tables where schemaname = 'public'")}


async def test_each_migration_is_applied_once(empty_postgres_url: str, files: Path, sql: asyncpg.Connection) -> None:
    assert await pending(empty_postgres_url, files) == ["0001_first.sql", "0002_second.sql"]
    assert await tables(sql) == set()
    assert await migrate(empty_postgres_url, files) == ["0001_first.sql", "0002_second.sql"]
    assert await migrate(empty_postgres_url, files) == []
    assert await pending(empty_postgres_url, files) == []
    (files / "0003_third.sql").write_text("create table third (id integer);")
    assert await migrate(empty_postgres_url, files) == ["0003_third.sql"]


async def test_snapshot_beside_the_migrations_is_not_applied(
    empty_postgres_url: str, files: Path, sql: asyncpg.Connection
) -> None:
    (files / SNAPSHOT).write_text("create table of_the_snapshot (id integer);")
    assert await migrate(empty_postgres_url, files) == ["0001_first.sql", "0002_second.sql"]
    assert "of_the_snapshot" not in await tables(sql)


async def test_concurrent_migrations_apply_each_file_once(empty_postgres_url: str, sql: asyncpg.Connection) -> None:
    answers = await asyncio.gather(*(migrate(empty_postgres_url) for _ in range(10)))
    shipped = sorted(path.name for path in default_directory().glob("????_*.sql"))
    assert sorted(answers) == [[]] * 9 + [shipped]
    assert await sql.fetchval("select count(*) from schema_migrations") == len(shipped)


async def test_failed_migration_changes_nothing_and_names_the_line(
    empty_postgres_url: str, files: Path, sql: asyncpg.Connection
) -> None:
    (files / "0002_second.sql").write_text("create table second (id integer);\nselect nonsense;\n")
    with pytest.raises(MigrationError, match=r"0002_second.sql failed and left nothing.*nonsense.* \(line 2\)"):
        await migrate(empty_postgres_url, files)
    assert await tables(sql) == {"first", "schema_migrations"}
    assert await pending(empty_postgres_url, files) == ["0002_second.sql"]
    (files / "0002_second.sql").write_text("create table second (id integer);")
    assert await migrate(empty_postgres_url, files) == ["0002_second.sql"]


async def test_changed_applied_migration_is_rejected(
    empty_postgres_url: str, files: Path, sql: asyncpg.Connection
) -> None:
    await migrate(empty_postgres_url, files)
    (files / "0001_first.sql").write_text("create table other (id integer);")
    (files / "0003_third.sql").write_text("create table third (id integer);")
    for command in (migrate, pending):
        with pytest.raises(MigrationError, match=r"0001_first.sql was changed after it was applied; restore it"):
            await command(empty_postgres_url, files)
    assert "third" not in await tables(sql)


async def test_different_line_ends_have_the_same_checksum(empty_postgres_url: str, files: Path) -> None:
    await migrate(empty_postgres_url, files)
    first = files / "0001_first.sql"
    first.write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(empty_postgres_url, files) == []


async def test_missing_applied_migration_is_rejected(empty_postgres_url: str, files: Path) -> None:
    await migrate(empty_postgres_url, files)
    (files / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"the database has 0002_second.sql, which is missing here"):
        await migrate(empty_postgres_url, files)


async def test_newer_schema_is_accepted_with_accept_newer(empty_postgres_url: str, files: Path) -> None:
    newest = files / "0003_third.sql"
    newest.write_text("create table third (id integer);")
    await migrate(empty_postgres_url, files)
    newest.unlink()
    assert await migrate(empty_postgres_url, files, accept_newer=True) == []
    assert await pending(empty_postgres_url, files, accept_newer=True) == []
    (files / "0002_second.sql").write_text("select 2;")
    with pytest.raises(MigrationError, match=r"0002_second.sql was changed after it was applied"):
        await migrate(empty_postgres_url, files, accept_newer=True)


async def test_newer_schema_is_accepted_while_no_migration_requires_a_later_release(
    empty_postgres_url: str, files: Path
) -> None:
    for number in range(3, 7):
        (files / f"{number:04d}_more_{number}.sql").write_text(f"create table more_{number} (id integer);")
    (files / "0007_less.sql").write_text("-- oldest: 0004\ndrop table more_3;\n")
    await migrate(empty_postgres_url, files)
    for newest in ("0007_less.sql", "0006_more_6.sql", "0005_more_5.sql"):
        (files / newest).unlink()
        assert await migrate(empty_postgres_url, files, accept_newer=True) == []
    (files / "0004_more_4.sql").unlink()
    with pytest.raises(MigrationError, match=r"0007_less.sql, which only works with releases that have number 0004"):
        await migrate(empty_postgres_url, files, accept_newer=True)
    with pytest.raises(MigrationError, match=r"the newest here is 0003_more_3.sql"):
        await pending(empty_postgres_url, files, accept_newer=True)


async def test_database_without_the_column_oldest_is_migrated(
    empty_postgres_url: str, files: Path, sql: asyncpg.Connection
) -> None:
    await migrate(empty_postgres_url, files)
    await sql.execute("alter table schema_migrations drop column oldest")
    (files / "0003_third.sql").write_text("-- oldest: 0002\ndrop table first;\n")
    assert await pending(empty_postgres_url, files) == ["0003_third.sql"]
    assert await migrate(empty_postgres_url, files) == ["0003_third.sql"]
    assert await sql.fetchval("select oldest from schema_migrations where number = 3") == 2


@pytest.mark.parametrize("oldest", ["0002", "0000", "1", "later"])
def test_oldest_that_is_no_earlier_migration_is_rejected(files: Path, oldest: str) -> None:
    (files / "0002_second.sql").write_text(f"-- oldest: {oldest}\ndrop table first;\n")
    with pytest.raises(MigrationError, match=rf"0002_second.sql: `-- oldest: {oldest}` is no earlier"):
        read(files)


async def test_accept_newer_rejects_renamed_migrations(empty_postgres_url: str, files: Path) -> None:
    await migrate(empty_postgres_url, files)
    (files / "0002_second.sql").rename(files / "0002_renamed.sql")
    with pytest.raises(MigrationError, match=r"0002_second.sql was applied and is now called 0002_renamed.sql"):
        await migrate(empty_postgres_url, files, accept_newer=True)


async def test_renumbered_migration_is_rejected(empty_postgres_url: str, files: Path) -> None:
    await migrate(empty_postgres_url, files)
    (files / "0002_second.sql").rename(files / "0003_second.sql")
    (files / "0002_between.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=r"0002_second.sql was applied and is now numbered 0003_second.sql"):
        await migrate(empty_postgres_url, files)


async def test_renamed_migration_is_rejected(empty_postgres_url: str, files: Path) -> None:
    await migrate(empty_postgres_url, files)
    (files / "0002_second.sql").rename(files / "0002_renamed.sql")
    with pytest.raises(MigrationError, match=r"0002_second.sql was applied and is now called 0002_renamed.sql"):
        await migrate(empty_postgres_url, files)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_a.sql", "0003_c.sql"], "number 0002 is missing before 0003_c.sql"),
        (["0002_b.sql"], "number 0001 is missing before 0002_b.sql"),
        (["0001_a.sql", "0001_b.sql"], "0001_a.sql and 0001_b.sql have the same number"),
        (["1_a.sql"], "1_a.sql is not named like"),
        ([], "there are no migrations in"),
    ],
)
async def test_invalid_migration_files_are_rejected_before_connecting(
    tmp_path: Path, names: list[str], complaint: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(MigrationError, match=complaint):
        await migrate("postgresql://user@127.0.0.1:1/nowhere", tmp_path)


async def test_unavailable_server_is_an_error_after_the_wait() -> None:
    with pytest.raises(StoreUnavailable, match="Postgres did not answer"):
        await migrate("postgresql://user@127.0.0.1:1/nowhere", wait=timedelta(milliseconds=300))


async def test_migrations_are_found_in_a_wheel_and_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = default_directory()
    assert checkout == Path(__file__).parents[3] / "migrations"
    package = tmp_path / "site-packages" / "orderfleet"
    shutil.copytree(checkout, package / "migrations")
    monkeypatch.setattr("orderfleet.store.migration_files.files", lambda _: package)
    assert default_directory() == package / "migrations"
