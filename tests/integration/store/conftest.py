"""The order store in a database of its own for each test, and a Postgres server that a test can kill."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg
import pytest

from orderfleet.store.migrate import migrate
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.own_postgres import OwnServer, own_postgres


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as opened:
        yield opened


@pytest.fixture
def writes(database: Database) -> OrderWrites:
    return OrderWrites(database)


@pytest.fixture
def reads(database: Database) -> OrderReads:
    return OrderReads(database)


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, to read rows and to run statements that the product never runs."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    with own_postgres(request.getfixturevalue("backing").folder) as server:
        yield server


@pytest.fixture
async def own_url(own_server: OwnServer) -> str:
    await migrate(own_server.url)
    return own_server.url


@pytest.fixture
async def role(sql: asyncpg.Connection, postgres_url: str) -> AsyncIterator[str]:
    """A role that can log in, for this test only: roles belong to the whole server."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    await sql.execute(f'create role "{name}" login')
    yield name
    await sql.execute(f'drop owned by "{name}"; drop role "{name}"')
