"""The ledger of a simulated provider: SQLite transactions that several processes may run at once.

The transactions survive a SIGKILL of any process. The ledger must never hold data of the product: that is in Postgres.
Tests and the demo compare both.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from orderfleet.domain.errors import OrderfleetError, Unavailable

_BUSY_TIMEOUT: Final = 3.0
"""Seconds to wait for another process's transaction; less than the attempt timeouts of charge and dispatch."""

_CALLS: Final = """
create table if not exists provider_calls (
    id        integer primary key,
    at        text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    provider  text not null,
    call      text not null,
    key       text not null
);
"""

Result = TypeVar("Result")


class LedgerBusy(Exception):
    """Other processes held the ledger for too long, or the file can't be used."""


class Ledger:
    """Transactions on one SQLite database, and the calls of one provider.

    Args:
        path: of the file, created when it is missing; None keeps everything in memory.
    """

    provider: ClassVar[str]
    """The provider whose calls these are; two ledgers may share a file."""
    schema: ClassVar[str]
    """Statements that create the provider's own tables unless they exist."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return the result of `work`, which runs in one transaction, in a thread if the ledger is a file.

        The transaction is committed also when the caller is canceled, as a request that was already sent would be.

        Raises:
            LedgerBusy: the file could not be locked in time.
        """
        if self._path is None:
            return self.run_now(work)  # nothing to wait for: a thread would cost more than the work
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return the result of `work`, which runs in one transaction, in this thread. Raises `LedgerBusy`."""
        with self._lock:
            try:
                connection = self._open()
                connection.execute("begin immediate")
            except sqlite3.OperationalError as error:
                raise LedgerBusy(f"ledger {self._path or 'in memory'}: {error}") from error
            try:
                result = work(connection)
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
            return result

    async def record_call(self, call: str, key: str) -> None:
        """Record that the provider was called, whatever its outcome.

        Args:
            call: name of the method.
            key: idempotency key of the call.

        Raises:
            LedgerBusy: the file could not be locked in time.
        """
        await self.run(
            lambda ledger: ledger.execute(
                "insert into provider_calls (provider, call, key) values (?, ?, ?)", (self.provider, call, key)
            )
        )

    def calls(self) -> list[tuple[str, str]]:
        """Return the name and the key of every call, in order."""
        rows = self.run_now(
            lambda ledger: ledger.execute(
                "select call, key from provider_calls where provider = ? order by id", (self.provider,)
            ).fetchall()
        )
        return [(row["call"], row["key"]) for row in rows]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path or ":memory:", timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            try:
                # A write-ahead log survives a SIGKILL; only a power failure can lose the last transactions.
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                connection.executescript(f"begin immediate; {_CALLS} {self.schema}; commit;")
            except BaseException:
                connection.close()
                raise
            weakref.finalize(self, connection.close)
            self._connection = connection
        return self._connection


AnyLedger = TypeVar("AnyLedger", bound=Ledger)


class SimulatedProvider(Generic[AnyLedger]):
    """A provider that keeps a ledger and answers after a latency.

    Args:
        ledger: of the provider.
        latency: between the commit of a call and its answer, because a lost answer is the harder case.
    """

    unavailable: ClassVar[type[Unavailable]]
    """Raised when the ledger is busy."""

    def __init__(self, ledger: AnyLedger, latency: timedelta) -> None:
        self.ledger = ledger
        self._latency = latency.total_seconds()

    @asynccontextmanager
    async def _call(self, name: str, key: str) -> AsyncIterator[None]:
        """Record a call, run the body, and answer after the latency; a rejection is an answer too.

        Args:
            name: of the call.
            key: idempotency key of the call.

        Raises:
            Unavailable: the ledger is busy.
        """
        try:
            await self.ledger.record_call(name, key)
            yield
        except LedgerBusy as error:
            raise self.unavailable(str(error)) from error
        except OrderfleetError:
            await asyncio.sleep(self._latency)
            raise
        await asyncio.sleep(self._latency)
