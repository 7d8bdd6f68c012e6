"""The connection pool: one statement, one round trip, within one bound.

The writes and reads of the store go through `Database.fetch`, the change feed through
`Database.listen`. Nothing connects before it is asked, so a worker may start while Postgres is
away. No session state may be left on a connection: none is reset when it goes back to the pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.observers import DatabaseObserver, Unwatched
from orderfleet.runtime.database_address import Address
from orderfleet.store.errors import told, translated
from orderfleet.store.statements import name_of

_STATEMENTS: Final = 200
"""Kept prepared on a connection: all there are."""


async def _nothing_to_reset(_: object) -> None:
    """Keep a connection as it is: asyncpg's own reset costs a round trip."""


class Database:
    """Postgres, reached when it is needed.

    Args:
        url: `postgresql://…`, or what returns it for a connection that is opened now; more than one host with
            `target_session_attrs=read-write` follows a failover.
        pool_size: connections held at most, beside those of `listen`.
        timeout: bound of a whole call: the wait for a connection and the statement together.
        application_name: how Postgres shows these connections.
        observer: stands around each statement.
        listen_url: where `listen` connects, past a pooler; by default `url`.
        prepared: whether statements are prepared once a connection; else anew with every call, by no name.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        pool_size: int,
        timeout: timedelta,
        application_name: str = "orderfleet",
        observer: DatabaseObserver | None = None,
        listen_url: str | Address | None = None,
        prepared: bool = True,
    ) -> None:
        self._url = _address(url)
        self._listen_url = _address(listen_url or url)
        self._observer = observer or Unwatched()
        self._pool_size = pool_size
        self._timeout = timeout.total_seconds()
        self._connect_args: dict[str, Any] = {
            "statement_cache_size": _STATEMENTS if prepared else 0,
            # A statement is prepared once a connection, not again every five minutes.
            "max_cached_statement_lifetime": 0,
            "server_settings": {
                "application_name": application_name,
                "timezone": "UTC",
                # The server gives up too: nobody is left to take the answer of a slower statement.
                "statement_timeout": str(max(int(self._timeout * 1000), 1)),
            },
        }
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own; return its rows.

        Raises:
            StoreUnavailable: Postgres is away, or did not answer within the bound.
        """
        with self._observer.operation(name_of(sql)) as operation, translated():
            async with self._bound():
                pool = await self._opened()
                connection = await pool.acquire()
                operation.connected()
                try:
                    return await _run(connection, sql, args)
                except (asyncio.CancelledError, asyncpg.ReadOnlySQLTransactionError):
                    # Giving it back would wait for the answer; one to a standby is of no use any more.
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)

    async def listen(self, channel: str, wake: Callable[[], None]) -> asyncpg.Connection[asyncpg.Record]:
        """Open a connection outside the pool that calls `wake` on each NOTIFY, and when it is lost.

        The caller ends it with `terminate`.

        Raises:
            StoreUnavailable: Postgres is away, or did not answer within the bound.
        """
        with translated():
            async with self._bound():
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
        with translated():
            async with self._bound():
                return await _run(connection, sql, args)

    @asynccontextmanager
    async def _bound(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {self._timeout:g} s") from error

    async def close(self) -> None:
        """Close every connection; those still in use after the bound are cut."""
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
                connect=self._connect,
                min_size=0,
                max_size=self._pool_size,
                reset=_nothing_to_reset,
                **self._connect_args,
            )
            # With no connection to make this never waits, so no second caller comes in between.
            await self._pool
        return self._pool

    async def _connect(self, *_: Any, **arguments: Any) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(self._url(), **arguments)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _address(url: str | Address) -> Address:
    return (lambda: url) if isinstance(url, str) else url


async def _run(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record],
    sql: str,
    args: tuple[object, ...],
) -> list[asyncpg.Record]:
    try:
        return await connection.fetch(sql, *args)
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # Said of a connection that the server closed under the statement, and of bugs.
        if connection.is_closed():
            raise StoreUnavailable(f"Postgres closed the connection: {told(error)}") from error
        raise
