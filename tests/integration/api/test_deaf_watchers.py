"""Watchers on real sockets that stop reading, and a real process: others are served, its memory stays, whoever reads
again gets the latest state, and it ends when it is told to."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import psutil
import pytest
from streams import watching

from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderRecord
from record_samples import AT, progress, receive
from worker_processes import WorkerFleet, WorkerProcess

DEAF = 5
CHANGES = 120
LONG = "x" * 64 * 1024
"""So that the changes are more than sockets hold: 8 MB for each watcher."""
MAY_GROW = 15 * 2**20
"""Half of what it would cost if changes waited for the deaf."""
SECONDS = 60


@pytest.fixture
async def process(temporal_address: str, postgres_url: str, tmp_path) -> AsyncIterator[WorkerProcess]:
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERFLEET_DRAIN_TIMEOUT": "2s",
    }
    async with AsyncExitStack() as stack:
        api = await WorkerFleet(stack, environment, tmp_path).api()
        await api.answers("/readyz", 200)
        yield api


@pytest.fixture
async def record(postgres_url: str) -> AsyncIterator[OrderRecord]:
    async with Database(postgres_url, pool_size=2, timeout=timedelta(seconds=30)) as database:
        yield OrderRecord(database)


class DeafWatcher:
    """A connection that watches an order and reads only when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def of(cls, port: int, order_id: str) -> AsyncIterator[DeafWatcher]:
        line = socket.socket()
        # Set before it connects, and so never grown by the kernel.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=line, limit=4096)
        try:
            writer.write(f"GET /orders/{order_id}/watch HTTP/1.1\r\nHost: api\r\n\r\n".encode())
            async with asyncio.timeout(SECONDS):
                await reader.readuntil(b"\r\n\r\n")
            yield cls(reader, writer)
        finally:
            writer.close()

    async def rest(self) -> list[tuple[int, dict[str, Any]]]:
        """Every state that it is told from now to the end of the stream, each with its version."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        told = b""
        async with asyncio.timeout(SECONDS):
            while b"event: end" not in told:
                read = await self._reader.read(65536)
                assert read, "the stream was closed before its end"
                told += read
        return [event for line in _unchunked(told).split("\n\n") if (event := _event(line)) is not None]


def _unchunked(told: bytes) -> str:
    """What the chunks hold (RFC 9112, 7.1), up to the last that is whole."""
    found = b""
    while told:
        size, _, told = told.partition(b"\r\n")
        found, told = found + told[: int(size or b"0", 16)], told[int(size or b"0", 16) + 2 :]
    return found.decode()


def _event(text: str) -> tuple[int, dict[str, Any]] | None:
    fields = dict(line.partition(": ")[::2] for line in text.splitlines())
    return (int(fields["id"]), json.loads(fields["data"])) if fields.get("event") == "status" else None


async def change(record: OrderRecord, number: int, **more: Any) -> None:
    step = more.pop("step", Step.MANUAL_REVIEW)
    await record.record("ord-1", progress(number, step, last_error=f"{number} {LONG}", **more))


def memory(process: WorkerProcess) -> int:
    return int(psutil.Process(process.process.pid).memory_info().rss)


async def test_watchers_that_stop_reading_delay_no_other_and_get_the_latest_state(process, record):
    await receive(record)
    async with AsyncExitStack() as stack:
        deaf = [await stack.enter_async_context(DeafWatcher.of(process.port, "ord-1")) for _ in range(DEAF)]
        caller = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}"))
        other = await stack.enter_async_context(watching(caller, "ord-1"))
        await other.next(SECONDS)
        before = 0
        for number in range(2, CHANGES + 2):
            await change(record, number)
            # Whoever reads is told of each, so each has been put before the deaf as well.
            _, told, _ = await other.next(SECONDS)
            assert told["last_error"].startswith(f"{number} ")
            if number == CHANGES // 4:
                before = memory(process)  # everything that is made once has been made
        assert memory(process) - before < MAY_GROW
        assert (await caller.get("/orders/ord-1", timeout=SECONDS)).json()["last_error"] == told["last_error"]

        await change(record, CHANGES + 2, step=Step.CANCELED, completed_at=AT)
        for watcher in deaf[1:]:
            states = await watcher.rest()
            versions = [version for version, _ in states]
            assert versions == sorted(set(versions))
            assert len(versions) < CHANGES, "it was told everything, and so had never stopped"
            assert states[-1][1]["step"] == "canceled"
            assert states[-1][1]["last_error"].startswith(f"{CHANGES + 2} ")
        # One of them never reads again, which keeps no process from its end.
        process.process.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
