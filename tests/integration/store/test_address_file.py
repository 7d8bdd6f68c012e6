"""A password that is rotated in the file of the database address is used without a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.settings import Settings
from orderfleet.store.pool import Database, connect
from support.own_postgres import OwnServer, as_role
from support.polling import eventually


async def _administer(server: OwnServer, *statements: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        for each in statements:
            await connection.execute(each)
    finally:
        await connection.close()


def _prepend(file: str, line: str) -> None:
    rules = Path(file)
    rules.write_text(f"{line}\n{rules.read_text()}")


@pytest.fixture
async def passwords(own_server: OwnServer) -> OwnServer:
    """A server whose role `rotated` needs a password; other roles need none."""
    connection = await asyncpg.connect(own_server.url)
    _prepend(await connection.fetchval("show hba_file"), "host all rotated all scram-sha-256")
    await connection.execute("create role rotated login password 'first'")
    await connection.execute("select pg_reload_conf()")
    await connection.close()

    async def rejected() -> bool:
        try:
            await (await asyncpg.connect(as_role(own_server.url, "rotated:wrong"))).close()
        except asyncpg.InvalidPasswordError:
            return True
        return False

    # The server reloads pg_hba.conf asynchronously.
    await eventually(rejected)
    return own_server


async def test_rotated_password_is_used_by_the_next_connection(passwords: OwnServer, tmp_path: Path) -> None:
    def address(password: str) -> str:
        return as_role(passwords.url, f"rotated:{password}")

    file = tmp_path / "url"
    file.write_text(address("first"))
    settings = Settings(database_url_file=file, database_pool_size=2, database_timeout="10s")
    woken = asyncio.Event()
    async with connect(settings, "test") as database:
        assert (await database.fetch("select current_user"))[0][0] == "rotated"
        listening = await database.listen("of_a_test", woken.set)

        await _administer(passwords, "alter role rotated password 'second'")
        # The open connection stays; a new one uses the password that the file has now.
        assert (await database.fetch("select current_user"))[0][0] == "rotated"
        ending = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotated'"
        await _administer(passwords, ending)
        await asyncio.wait_for(woken.wait(), 10)
        listening.terminate()
        await _until_rejected(database)
        with pytest.raises(StoreUnavailable, match="password"):
            await database.listen("of_a_test", woken.set)

        file.write_text(address("second"))
        assert (await database.fetch("select current_user"))[0][0] == "rotated"
        (await database.listen("of_a_test", woken.set)).terminate()


async def _until_rejected(database: Database) -> None:
    """Query until the pool has lost its connection and a new one is rejected."""
    async with asyncio.timeout(10):
        while True:
            try:
                await database.fetch("select 1")
            except StoreUnavailable as error:
                if "password" in str(error):
                    return
