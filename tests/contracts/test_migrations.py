"""The migrated schema against its snapshot, and its constraints against the enums they copy."""

from __future__ import annotations

import os
import re
import subprocess
from enum import StrEnum
from pathlib import Path

import asyncpg
import pytest

from orderfleet.contracts.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.stack import postgres
from orderfleet.store.feed import CHANNEL
from orderfleet.store.migration_files import default_directory, read

SNAPSHOT = Path(__file__).parent / "schema.sql"
REFRESH = "ORDERFLEET_REFRESH_SNAPSHOT=1 .venv/bin/python -m pytest tests/contracts/test_migrations.py"


def dumped(url: str) -> str:
    """The schema as statements only: no comments, no settings, nothing that differs from run to run."""
    command = [str(postgres.programs() / "pg_dump"), "--schema-only", "--no-owner", "--no-privileges", url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    kept = [line.rstrip() for line in dump.splitlines() if not re.match(r"--|SET |SELECT pg_catalog\.|\\", line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def test_the_migrated_schema_is_the_snapshot(postgres_url: str) -> None:
    schema = dumped(postgres_url)
    if os.environ.get("ORDERFLEET_REFRESH_SNAPSHOT"):
        SNAPSHOT.write_text(schema, encoding="utf-8")
    assert schema == SNAPSHOT.read_text(encoding="utf-8"), f"the schema changed; refresh it with: {REFRESH}"


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("orders", "step", Step),
        ("payments", "status", PaymentStatus),
        ("shipments", "status", ShipmentStatus),
    ],
)
async def test_the_columns_take_every_value_of_their_enum_and_no_other(
    postgres_url: str, table: str, column: str, values: type[StrEnum]
) -> None:
    connection = await asyncpg.connect(postgres_url)
    definition = await connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = $1", f"{table}_{column}_check"
    )
    await connection.close()
    assert set(re.findall(r"'([^']+)'::text", definition)) == {str(value) for value in values}


def test_the_channel_of_the_wake_ups_is_the_one_the_feed_listens_to() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in default_directory().glob("*.sql"))
    assert re.findall(r"pg_notify\('([^']+)'", text) == [CHANNEL]


_TAKES_AWAY = re.compile(
    r"\b(drop\s+(table|column|view|type|function|index)|rename\b|alter\s+column|set\s+not\s+null|add\s+constraint|"
    r"create\s+unique\s+index)\b",
    re.IGNORECASE,
)


def test_a_migration_that_takes_something_away_says_which_releases_it_leaves_behind() -> None:
    for migration in read(default_directory())[1:]:
        statements = re.sub(r"--.*", "", migration.sql)
        if found := _TAKES_AWAY.search(statements):
            assert migration.oldest is not None, (
                f"{migration.name} has `{found[0]}`: older releases may not work after it; say since which they do,"
                f" `-- oldest: NNNN`"
            )
