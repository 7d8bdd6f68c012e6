"""Watchers on real sockets that stop reading from a real process.

Other watchers are served, the memory of the process is bounded, a watcher that resumes gets the latest state, and the
process ends at SIGTERM.
"""

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

from integration.api.streams import watching
from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.role_processes import RoleProcess, RoleProcesses
from support.sample_rows import AT, progress, receive

WATCHERS = 5
CHANGES = 120
LONG_TEXT = "x" * 64 * 1024
"""The changes exceed the socket buffers: 8 MB for each watcher."""
MAX_GROWTH = 15 * 2**20
"""Bytes: half of what it would be if changes were queued for watchers that don't read."""
SECONDS = 60


@pytest.fixture
async def process(processes: RoleProcesses) -> RoleProcess:
    api = await processes.api(ORDERFLEET_DRAIN_TIMEOUT="2s", ORDERFLEET_API_WRITE_TIMEOUT="10m")
    await api.answers("/readyz", 200)
    return api


@pytest.fixture
async def writes(postgres_url: str) -> AsyncIterator[OrderWrites]:
    async with Database(postgres_url, pool_size=2, timeout=timedelta(seconds=30)) as database:
        yield OrderWrites(database)


class SlowWatcher:
    """A connection that watches an order and reads only in `rest`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def of(cls, port: int, order_id: str) -> AsyncIterator[SlowWatcher]:
        connection = socket.socket()
        # Set before the connect, so that the kernel does not enlarge it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
        try:
            writer.write(f"GET /orders/{order_id}/watch HTTP/1.1\r\nHost: api\r\n\r\n".encode())
            async with asyncio.timeout(SECONDS):
                await reader.readuntil(b"\r\n\r\n")
            yield cls(reader, writer)
        finally:
            writer.close()

    async def rest(self) -> list[tuple[int, dict[str, Any]]]:
        """Version and status of each event until the end of the stream."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        received = b""
        async with asyncio.timeout(SECONDS):
            while b"event: end" not in received:
                read = await self._reader.read(65536)
                assert read, "the stream was closed before its end"
                received += read
        return [event for line in _unchunked(received).split("\n\n") if (event := _event(line)) is not None]


def _unchunked(received: bytes) -> str:
    """The text of the complete chunks (RFC 9112, 7.1)."""
    found = b""
    while received:
        size, _, received = received.partition(b"\r\n")
        found, received = found + received[: int(size or b"0", 16)], received[int(size or b"0", 16) + 2 :]
    return found.decode()


def _event(text: str) -> tuple[int, dict[str, Any]] | None:
    fields = dict(line.partition(": ")[::2] for line in text.splitlines())
    return (int(fields["id"]), json.loads(fields["data"])) if fields.get("event") == "status" else None


async def change(writes: OrderWrites, number: int, **more: Any) -> None:
    step = more.pop("step", Step.MANUAL_REVIEW)
    await writes.record("ord-1", progress(number, step, last_error=f"{number} {LONG_TEXT}", **more))


def memory(process: RoleProcess) -> int:
    return int(psutil.Process(process.process.pid).memory_info().rss)


@pytest.mark.slow
async def test_watchers_that_stop_reading_delay_no_other_and_get_the_latest_state(process, writes):
    await receive(writes)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(SlowWatcher.of(process.port, "ord-1")) for _ in range(WATCHERS)]
        caller = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}"))
        other = await stack.enter_async_context(watching(caller, "ord-1"))
        await other.next(SECONDS)
        before = 0
        for number in range(2, CHANGES + 2):
            await change(writes, number)
            # The other watcher gets every change, so each was put into the slow watchers' mailboxes too.
            _, latest, _ = await other.next(SECONDS)
            assert latest["last_error"].startswith(f"{number} ")
            if number == CHANGES // 4:
                before = memory(process)  # after all one-time allocations
        assert memory(process) - before < MAX_GROWTH
        assert (await caller.get("/orders/ord-1", timeout=SECONDS)).json()["last_error"] == latest["last_error"]

        await change(writes, CHANGES + 2, step=Step.CANCELED, completed_at=AT)
        for watcher in slow[1:]:
            states = await watcher.rest()
            versions = [version for version, _ in states]
            assert versions == sorted(set(versions))
            assert len(versions) < CHANGES, "it got every change, so it never stopped reading"
            assert states[-1][1]["step"] == "canceled"
            assert states[-1][1]["last_error"].startswith(f"{CHANGES + 2} ")
        # One watcher never reads again; the process ends all the same.
        process.process.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
