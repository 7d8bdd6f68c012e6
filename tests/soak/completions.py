"""Waits for the ends of a soak's orders in the order store.

An open order stays in its worker's memory: a load that doesn't wait for ends would grow on a slow machine, and memory
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_POLL_SECONDS = 1.0
_TIMEOUT = 600.0
"""Seconds; an Order that is deleted before it is stored has no end there."""
_ENDED = (
    "select order_id from orders where order_id = any($1) and completed_at is not null"
    " and order_id not in (select order_id from pending_payments)"
)


class Completions:
    """The orders whose ends are awaited."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Event] = {}

    async def wait_for(self, order_id: str, seconds: float = _TIMEOUT) -> bool:
        """Wait until the order has ended and no refund is pending.

        Args:
            order_id: of the order.
            seconds: to wait at most.

        Returns:
            Whether it has ended.
        """
        ended = self._awaited[order_id] = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            del self._awaited[order_id]
        return True

    async def poll(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Poll the order store until canceled."""
        while True:
            for row in await connection.fetch(_ENDED, list(self._awaited)):
                # The wait may have timed out during the query.
                if ended := self._awaited.get(row["order_id"]):
                    ended.set()
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def track_completions(database_url: str) -> AsyncIterator[Completions]:
    """Yield the completions of a database, which are polled until the context closes."""
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
