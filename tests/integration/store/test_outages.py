from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from orderfleet.domain.errors import StoreRejected, StoreUnavailable
from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.polling import eventually
from support.sample_rows import progress, receive

NOWHERE = "postgresql://orderfleet@127.0.0.1:1/orderfleet"


# Long enough for a busy machine; a test of the timeout itself sets less.
def opened(url: str, *, pool_size: int = 2, seconds: float = 20) -> Database:
    return Database(url, pool_size=pool_size, timeout=timedelta(seconds=seconds))


async def test_pool_connects_at_the_first_call() -> None:
    async with opened(NOWHERE) as database:
        OrderWrites(database)


async def test_server_that_refuses_connections_is_store_unavailable() -> None:
    async with opened(NOWHERE) as database:
        with pytest.raises(StoreUnavailable, match=r"Postgres did not answer: .*ConnectionRefusedError"):
            await OrderReads(database).order("ord-1")


async def test_unknown_host_is_store_unavailable() -> None:
    async with opened("postgresql://orderfleet@no-such-host.invalid/orderfleet") as database:
        with pytest.raises(StoreUnavailable):
            await OrderReads(database).order("ord-1")


@pytest.mark.slow
async def test_server_that_hangs_is_store_unavailable_within_the_timeout(own_server: Any, own_url: str) -> None:
    async with opened(own_url, seconds=4) as database:
        writes = OrderWrites(database)
        await receive(writes)
        own_server.pause()
        # One call has a connection, the others wait for one or open one: all end within the timeout.
        began = time.monotonic()
        answers = await asyncio.gather(
            *(writes.record("ord-1", progress(number, Step.CHARGE)) for number in range(2, 8)), return_exceptions=True
        )
        took = time.monotonic() - began
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 6
        assert "no answer within 4 s" in str(answers[0])
        assert took < 8
        own_server.resume()
        await writes.record("ord-1", progress(9, Step.SHIPPED))


async def test_killed_server_is_store_unavailable_until_it_is_back(own_server: Any, own_url: str) -> None:
    async with opened(own_url) as database:
        writes, reads = OrderWrites(database), OrderReads(database)
        await receive(writes)
        await asyncio.gather(*(reads.order("ord-1") for _ in range(4)))
        own_server.kill()
        for _ in range(4):
            with pytest.raises(StoreUnavailable):
                await reads.order("ord-1")
        await asyncio.to_thread(own_server.start)

        async def answers() -> bool:
            try:
                return await reads.order("ord-1") is not None
            except StoreUnavailable:
                return False

        await eventually(answers)
        await writes.record("ord-1", progress(2, Step.CHARGE))


async def test_connection_killed_during_a_statement_is_store_unavailable(
    postgres_url: str, sql: asyncpg.Connection
) -> None:
    async with opened(postgres_url, pool_size=1) as database:
        waiting = asyncio.ensure_future(database.fetch("select pg_sleep(60)"))

        async def killed() -> bool:
            query = (
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where query = 'select pg_sleep(60)' and state = 'active' and datname = current_database()"
            )
            return bool(await sql.fetchval(query))

        await eventually(killed)
        # asyncpg reports the server's message, or that the connection ended while it read it.
        with pytest.raises(StoreUnavailable, match=r"administrator command|closed the connection"):
            await waiting
        assert (await database.fetch("select 1 as one"))[0]["one"] == 1


async def test_idle_connection_killed_by_the_server_is_replaced(postgres_url: str, sql: asyncpg.Connection) -> None:
    async with opened(postgres_url, pool_size=1) as database:
        (row,) = await database.fetch("select pg_backend_pid() as pid")
        await sql.fetchval("select pg_terminate_backend($1)", row["pid"])

        async def heals() -> bool:
            try:
                (now,) = await database.fetch("select pg_backend_pid() as pid")
            except StoreUnavailable:
                return False
            return bool(now["pid"] != row["pid"])

        await eventually(heals)


@pytest.mark.slow
async def test_exhausted_pool_is_store_unavailable(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1, seconds=4) as database:
        pool = await database._opened()
        async with pool.acquire():
            with pytest.raises(StoreUnavailable, match="no answer within"):
                await database.fetch("select 1")
        assert len(await database.fetch("select 1")) == 1


async def test_server_cancels_a_statement_after_the_timeout(postgres_url: str, sql: asyncpg.Connection) -> None:
    async with opened(postgres_url, seconds=0.3) as database:
        with pytest.raises(StoreUnavailable):
            await database.fetch("select pg_sleep(60) as abandoned")

        async def gone() -> bool:
            query = "select count(*) from pg_stat_activity where query like '%abandoned' and pid <> pg_backend_pid()"
            return await sql.fetchval(query) == 0

        await eventually(gone)


async def test_pool_works_after_a_canceled_call(postgres_url: str) -> None:
    async with opened(postgres_url, pool_size=1) as database:
        await database.fetch("select 1")
        for _ in range(3):
            waiting = asyncio.ensure_future(database.fetch("select pg_sleep(60)"))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert len(await database.fetch("select 1")) == 1


async def test_database_without_migrations_is_store_unavailable(empty_postgres_url: str) -> None:
    async with opened(empty_postgres_url) as database:
        with pytest.raises(StoreUnavailable, match="run `orderfleet migrate`"):
            await OrderReads(database).order("ord-1")


async def test_missing_database_is_store_unavailable(postgres_url: str) -> None:
    async with opened(postgres_url + "-no") as database:
        with pytest.raises(StoreUnavailable, match=r"Postgres refused: .*InvalidCatalogNameError"):
            await OrderReads(database).order("ord-1")


@pytest.mark.parametrize(
    ("sql_text", "error"),
    [
        ("selec 1", asyncpg.PostgresSyntaxError),
        ("insert into schema_migrations values (1, 'x', 'y')", StoreRejected),
        ("insert into events (order_id, key, kind, step, at) values ('x','k','k','s',now())", StoreRejected),
        ("select $1::int", asyncpg.InterfaceError),
    ],
)
async def test_syntax_error_is_not_store_unavailable(postgres_url: str, sql_text: str, error: type[Exception]) -> None:
    async with opened(postgres_url) as database:
        with pytest.raises(error):
            await database.fetch(sql_text)
        assert len(await database.fetch("select 1")) == 1


async def test_standby_is_store_unavailable(postgres_url: str, sql: asyncpg.Connection) -> None:
    async with opened(postgres_url) as database:
        writes = OrderWrites(database)
        await receive(writes)
        name = await sql.fetchval("select current_database()")
        await sql.execute(f'alter database "{name}" set default_transaction_read_only = on')
        pids = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()"
        await sql.fetch(pids, name)

        async def rejected() -> bool:
            with pytest.raises(StoreUnavailable) as caught:
                await writes.record("ord-1", progress(2, Step.CHARGE))
            return "ReadOnlySQLTransactionError" in str(caught.value)

        await eventually(rejected)
