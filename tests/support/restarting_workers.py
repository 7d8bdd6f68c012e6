"""Worker processes that are started anew when they die, as Kubernetes does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.worker_processes import WorkerFleet


@asynccontextmanager
async def restarting_workers(fleet: WorkerFleet, count: int, **environment: str) -> AsyncIterator[list[int]]:
    """So many worker processes; yields how the dead ones ended."""
    ends: list[int] = []

    async def keep() -> None:
        while True:
            worker = await fleet.worker("all", **environment)
            ends.append(await worker.process.wait())

    keepers = [asyncio.create_task(keep()) for _ in range(count)]
    try:
        yield ends
    finally:
        for keeper in keepers:
            keeper.cancel()
