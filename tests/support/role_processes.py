"""Processes of the product's roles, on task queues of one test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from orderfleet_local.stack import ports
from support.polling import eventually


class RoleProcess:
    """One process of a role."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, health_port: int, log: Path) -> None:
        self.process = process
        self.port = port
        """The API port of the API; the health port of other roles."""
        self.health_port = health_port
        self.log = log

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:  # also a timeout
            return 0, str(error)

    async def answers(self, path: str, status: int) -> str:
        code, text = await eventually(lambda: asyncio.to_thread(self.get, path), lambda value: value[0] == status)
        assert code == status
        return text

    async def ends(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 60)


class RoleProcesses:
    """Starts processes of the product's roles on task queues of one test."""

    def __init__(self, stack: AsyncExitStack, environment: dict[str, str], folder: Path) -> None:
        self._stack = stack
        self._environment = environment
        self.folder = folder
        self._count = 0

    async def worker(self, kind: str, port: int = 0, **environment: str) -> RoleProcess:
        return await self._stack.enter_async_context(self._run(("worker", kind), environment, port=port))

    async def operator(self, **environment: str) -> RoleProcess:
        return await self._stack.enter_async_context(self._run(("operator",), environment))

    async def api(self, **environment: str) -> RoleProcess:
        return await self._stack.enter_async_context(self._run(("api",), environment, "ORDERFLEET_API_PORT"))

    def logs(self) -> dict[str, str]:
        """Return the output of each process so far, by file name."""
        return {log.name: log.read_text() for log in self.folder.glob("*.log")}

    @asynccontextmanager
    async def _run(
        self,
        command: tuple[str, ...],
        environment: dict[str, str],
        listens: str = "ORDERFLEET_HEALTH_PORT",
        port: int = 0,
    ) -> AsyncIterator[RoleProcess]:
        self._count += 1
        port = port or ports.choose(0)
        health_port = port if listens == "ORDERFLEET_HEALTH_PORT" else ports.choose(0)
        log = self.folder / f"{'-'.join(command)}-{self._count}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "orderfleet", *command),
                env={
                    **os.environ,
                    **self._environment,
                    **environment,
                    "ORDERFLEET_HEALTH_PORT": str(health_port),
                    listens: str(port),
                },
                stdout=output,
                stderr=output,
            )
        try:
            yield RoleProcess(process, port, health_port, log)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 60)
