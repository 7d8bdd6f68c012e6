"""Worker processes that are restarted when they exit, as Kubernetes does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.role_processes import RoleProcesses


@asynccontextmanager
async def restarting_workers(processes: RoleProcesses, count: int, **environment: str) -> AsyncIterator[list[int]]:
    """Run worker processes, and restart each that exits.

    Args:
        processes: starts them.
        count: of processes.
        environment: additional variables.

    Yields:
        The exit codes of those that exited.
    """
    exit_codes: list[int] = []

    async def restart() -> None:
        while True:
            worker = await processes.worker("all", **environment)
            exit_codes.append(await worker.process.wait())

    tasks = [asyncio.create_task(restart()) for _ in range(count)]
    try:
        yield exit_codes
    finally:
        for task in tasks:
            task.cancel()
