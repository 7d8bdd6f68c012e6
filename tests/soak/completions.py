"""When the orders of a soak have come to their ends, by the record; `shoppers` waits for them.

An order that goes on is held in its worker's memory: a load that didn't wait for the ends would pile orders up on a
machine that falls behind, and what is held with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_POLL_SECONDS = 1.0
_TIMEOUT = 600.0
"""Seconds; an Order that is deleted before it was recorded has no end there."""
_ENDED = (
    "select order_id from orders where order_id = any($1) and completed_at is not null"
    " and order_id not in (select order_id from pending_payments)"
)


class Completions:
    """Ends of orders that somebody waits for."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Event] = {}

    async def wait_for(self, order_id: str, timeout: float = _TIMEOUT) -> bool:
        """Wait until the order has ended with nothing owed, or for so many seconds; return whether it has."""
        ended = self._awaited[order_id] = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            del self._awaited[order_id]
        return True

    async def poll(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Look into the record until canceled; `ends` runs it."""
        while True:
            for row in await connection.fetch(_ENDED, list(self._awaited)):
                # Whoever waited may have given up meanwhile.
                if ended := self._awaited.get(row["order_id"]):
                    ended.set()
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def completions(database_url: str) -> AsyncIterator[Completions]:
    """Ends in a record."""
    made = Completions()
    connection = await asyncpg.connect(database_url, timeout=30)
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(made.poll(connection))
        try:
            yield made
        finally:
            polling.cancel()
            await asyncio.wait([polling])
            await connection.close()
