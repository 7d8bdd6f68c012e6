"""The connection pool, and the SQL statements: each call is one statement in one round trip, with a timeout.

Nothing connects before the first call, so a process can start while Postgres is unavailable. A statement must leave no
session state: a connection is not reset when it returns to the pool.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.observability.database_metrics import DatabaseOperation
from orderfleet.observability.metrics import DATABASE_POOL_SIZE
from orderfleet.settings import Settings
from orderfleet.settings.connections import Address, database_address, listen_address
from orderfleet.store.errors import first_line, translate_errors

_log = logging.getLogger(__name__)

_STATEMENTS: Final = 200
"""Prepared statements cached per connection: more than there are."""

_CLOSED_OR_BUG: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when the server closes the connection during a statement, and for bugs."""

_names: dict[str, str] = {}
"""Name of each statement in metrics, by its text: the driver accepts a plain string only."""


@cache
def statement(name: str) -> str:
    """Return the text of `sql/{name}.sql`, which is read when it is first used.

    Raises:
        FileNotFoundError: there is no such statement.
    """
    text = (files("orderfleet.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    _names[text] = name
    return text


def _log_warning(_: object, message: asyncpg.PostgresLogMessage) -> None:
    """Log a warning that a function of the schema raised: an event's key belongs to a different event."""
    if message.severity_en == "WARNING":
        _log.error("Postgres: %s", message.message)


async def _skip_reset(_: object) -> None:
    """Leave the connection as it is: asyncpg's own reset costs a round trip."""


class Database:
    """A pool of connections to Postgres, opened when they are needed.

    Args:
        url: `postgresql://…`, or a function that returns it for a connection that is opened now; more than one host
            with `target_session_attrs=read-write` follows a failover.
        pool_size: maximum number of connections, without those of `listen`.
        timeout: of a whole call: the wait for a connection and the statement together.
        application_name: how Postgres shows these connections.
        listen_url: for `listen`, which cannot use a transaction pooler; by default `url`.
        prepared: whether statements are prepared once per connection, else with every call and without a name.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        pool_size: int,
        timeout: timedelta,
        application_name: str = "orderfleet",
        listen_url: str | Address | None = None,
        prepared: bool = True,
    ) -> None:
        self._url = _address(url)
        self._listen_url = _address(listen_url or url)
        DATABASE_POOL_SIZE.set(pool_size)
        self._pool_size = pool_size
        self._timeout = timeout.total_seconds()
        self._connect_args: dict[str, Any] = {
            "statement_cache_size": _STATEMENTS if prepared else 0,
            # By default asyncpg prepares a statement again after five minutes.
            "max_cached_statement_lifetime": 0,
            "server_settings": {
                "application_name": application_name,
                "timezone": "UTC",
                # The server cancels too: the caller does not wait for a slower statement.
                "statement_timeout": str(max(int(self._timeout * 1000), 1)),
            },
        }
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own; return its rows.

        Raises:
            StoreUnavailable: Postgres is unavailable or did not answer in time.
        """
        with DatabaseOperation(_names.get(sql, "other")) as operation, translate_errors():
            async with self._time_limit():
                pool = await self._opened()
                connection = await pool.acquire()
                operation.connected()
                connection.add_log_listener(_log_warning)
                try:
                    return await connection.fetch(sql, *args)
                except _CLOSED_OR_BUG as error:
                    _raise_if_closed(connection, error)
                    raise
                except (asyncio.CancelledError, asyncpg.ReadOnlySQLTransactionError):
                    # Releasing it would wait for the statement; a connection to a standby cannot be used.
                    connection.terminate()
                    raise
                finally:
                    with suppress(asyncpg.InterfaceError):  # a terminated connection has no listeners left
                        connection.remove_log_listener(_log_warning)
                    await pool.release(connection)

    async def listen(self, channel: str, wake: Callable[[], None]) -> asyncpg.Connection[asyncpg.Record]:
        """Open a connection outside the pool that calls `wake` on each NOTIFY, and when it is lost.

        The caller closes it with `terminate`.

        Raises:
            StoreUnavailable: Postgres is unavailable or did not answer in time.
        """
        with translate_errors():
            async with self._time_limit():
                connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                    self._listen_url(), **self._connect_args
                )
                connection.add_termination_listener(lambda _: wake())
                try:
                    await connection.add_listener(channel, lambda *_: wake())
                except BaseException:
                    connection.terminate()
                    raise
                return connection

    async def fetch_on(
        self, connection: asyncpg.Connection[asyncpg.Record], sql: str, *args: object
    ) -> list[asyncpg.Record]:
        """As `fetch`, on a connection that `listen` opened."""
        with translate_errors():
            async with self._time_limit():
                try:
                    return await connection.fetch(sql, *args)
                except _CLOSED_OR_BUG as error:
                    _raise_if_closed(connection, error)
                    raise

    @asynccontextmanager
    async def _time_limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {self._timeout:g} s") from error

    async def close(self) -> None:
        """Close every connection; terminate those still in use after the timeout."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(self._timeout):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                connect=self._connect, min_size=0, max_size=self._pool_size, reset=_skip_reset, **self._connect_args
            )
            # With a `min_size` of 0 this opens no connection and does not wait, so no second caller creates a pool.
            await self._pool
        return self._pool

    async def _connect(self, *_: Any, **arguments: Any) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(self._url(), **arguments)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def connect(settings: Settings, role: str) -> Database:
    """Create the pool of a process from its settings. It connects at the first statement.

    Args:
        settings: address of Postgres, timeout, pool size.
        role: of the process, shown by Postgres as the application name.

    Raises:
        WrongAddressFile: a file is set for the address, and holds none.
    """
    return Database(
        database_address(settings),
        pool_size=settings.database_pool_size,
        timeout=settings.database_timeout,
        application_name=f"orderfleet {role}",
        listen_url=listen_address(settings),
        prepared=settings.database_prepared_statements,
    )


def _address(url: str | Address) -> Address:
    return (lambda: url) if isinstance(url, str) else url


def _raise_if_closed(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record], error: Exception
) -> None:
    if connection.is_closed():
        raise StoreUnavailable(f"Postgres closed the connection: {first_line(error)}") from error
