"""The migrated schema equals its snapshot, and its constraints equal the enums."""

from __future__ import annotations

import os
import re
import subprocess
from enum import StrEnum

import asyncpg
import pytest

from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.store.feed import CHANNEL
from orderfleet.store.migration_files import SNAPSHOT, default_directory, read
from orderfleet_local.stack import postgres
from support.initial_migrations import INITIAL

SCHEMA = default_directory() / SNAPSHOT
REFRESH = "ORDERFLEET_REFRESH_SNAPSHOT=1 .venv/bin/python -m pytest tests/contracts/test_migrations.py"


def dumped(url: str) -> str:
    """The schema as statements, without comments, settings and everything that differs between runs."""
    program = str(postgres.programs() / "pg_dump")
    months = "--exclude-table=events_????_??"  # These depend on the date.
    command = [program, "--schema-only", "--no-owner", "--no-privileges", months, url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    kept = [line.rstrip() for line in dump.splitlines() if not re.match(r"--|SET |SELECT pg_catalog\.|\\", line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def test_migrated_schema_equals_the_snapshot(postgres_url: str) -> None:
    schema = dumped(postgres_url)
    if os.environ.get("ORDERFLEET_REFRESH_SNAPSHOT"):
        SCHEMA.write_text(schema, encoding="utf-8")
    assert schema == SCHEMA.read_text(encoding="utf-8"), f"the schema changed; refresh it with: {REFRESH}"


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("orders", "step", Step),
        ("payments", "status", PaymentStatus),
        ("shipments", "status", ShipmentStatus),
    ],
)
async def test_column_allows_exactly_the_values_of_its_enum(
    postgres_url: str, table: str, column: str, values: type[StrEnum]
) -> None:
    connection = await asyncpg.connect(postgres_url)
    definition = await connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = $1", f"{table}_{column}_check"
    )
    await connection.close()
    assert set(re.findall(r"'([^']+)'::text", definition)) == {str(value) for value in values}


def test_notifications_use_the_channel_of_the_feed() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in default_directory().glob("*.sql"))
    assert set(re.findall(r"pg_notify\('([^']+)'", text)) == {CHANNEL}


_REMOVES = re.compile(
    r"\b(drop\s+(table|column|view|type|function|index|constraint|trigger|domain|schema)|rename\b|alter\s+column|"
    r"alter\s+type|set\s+not\s+null|add\s+constraint|create\s+unique\s+index|revoke)\b",
    re.IGNORECASE,
)
_ADDED = re.compile(r"\badd\s+column\b[^,;]+", re.IGNORECASE)


def removal(sql: str) -> str | None:
    """The part of a migration that can break the release before: a removal, or a required new column."""
    statements = re.sub(r"--.*", "", sql)
    if found := _REMOVES.search(statements):
        return found[0]
    required = (each for each in _ADDED.findall(statements) if re.search(r"\bnot\s+null\b", each, re.IGNORECASE))
    return next((each for each in required if not re.search(r"\b(default|generated)\b", each, re.IGNORECASE)), None)


def test_migration_that_removes_something_names_the_oldest_release() -> None:
    for migration in read(default_directory())[INITIAL:]:
        if found := removal(migration.sql):
            assert migration.oldest is not None, (
                f"{migration.name} has `{found}`: older releases may not work after it; name the oldest that does,"
                f" `-- oldest: NNNN`"
            )


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("alter table orders drop column owner;", "drop column"),
        ("alter table orders rename column owner to who;", "rename"),
        ("alter table orders alter column owner set not null;", "alter column"),
        ("alter table orders add column color text not null;", "add column color text not null"),
        ("alter table orders add column color text not null default 'red', add column size text;", None),
        ("create unique index one_each on orders (owner);", "create unique index"),
        ("-- drop table orders\ncreate table more (id text not null);", None),
    ],
)
def test_removal_is_found(sql: str, found: str | None) -> None:
    assert removal(sql) == found
