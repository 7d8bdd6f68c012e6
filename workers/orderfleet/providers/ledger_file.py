"""A ledger file: SQLite transactions that several processes may run at once and survive a SIGKILL of any.

The simulated payment provider and the simulated carrier each keep their tables in one. It knows
nothing of them, and must never be used for anything of the product's own: that is in Postgres.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

_BUSY_TIMEOUT: Final = 3.0
"""Seconds to wait for another process's transaction; below the attempt time-outs of charge and dispatch."""

Result = TypeVar("Result")


class LedgerBusy(Exception):
    """Other processes held the ledger for too long, or the file can't be used now."""


class LedgerFile:
    """Transactions on one SQLite database, those of a file in a thread.

    Args:
        path: of the file, made when it is missing; None keeps everything in memory.
        schema: statements that make the tables unless they are there.
    """

    def __init__(self, path: Path | None, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in one transaction: all of it stands, or nothing.

        It stands also when the caller is canceled meanwhile, as a request that was already sent would.

        Raises:
            LedgerBusy: the file could not be had in time.
        """
        if self._path is None:
            return self.run_now(work)  # nothing to wait for: a thread would cost more than the work
        return await asyncio.to_thread(self.run_now, work)

    def run_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """As `run`, in this thread."""
        with self._lock:
            try:
                connection = self._opened()
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

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self._path or ":memory:", timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            try:
                # A written log survives a SIGKILL; only a power cut could take the last transactions.
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                connection.executescript(f"begin immediate; {self._schema}; commit;")
            except BaseException:
                connection.close()
                raise
            weakref.finalize(self, connection.close)
            self._connection = connection
        return self._connection
