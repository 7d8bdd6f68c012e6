"""Each thing that may be wrong with a line, as its two ends see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.tcp_proxy import TcpProxy, tcp_proxy

TIMEOUT = 30.0
"""Seconds that something may take on a busy machine."""


class Echo:
    """A server that answers each line with itself, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.gone = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.gone.set()
            writer.transport.abort()


@asynccontextmanager
async def ends() -> AsyncIterator[tuple[Echo, TcpProxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.connected, "127.0.0.1", 0)
    async with server:
        async with tcp_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as line:
            yield echo, line
        await echo.close()


class Caller:
    """One connection through the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def on(cls, line: TcpProxy) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", line.port))

    async def asks(self, word: bytes) -> bytes:
        """What is answered; nothing when the line broke off."""
        self._writer.write(word + b"\n")
        try:
            return await asyncio.wait_for(self._reader.readline(), TIMEOUT)
        except ConnectionError:
            return b""

    def hang_up(self) -> None:
        self._writer.transport.abort()


async def test_what_is_said_arrives_both_ways() -> None:
    async with ends() as (echo, line):
        caller = await Caller.on(line)
        assert await caller.asks(b"one") == b"one\n"
        caller.hang_up()
        await asyncio.wait_for(echo.gone.wait(), TIMEOUT)


async def test_a_cut_line_refuses_and_a_mended_one_is_on_its_port_again() -> None:
    async with ends() as (_echo, line):
        caller = await Caller.on(line)
        await caller.asks(b"one")
        port = line.port
        await line.cut()
        assert await caller.asks(b"two") == b""
        caller.hang_up()
        with pytest.raises(ConnectionRefusedError):
            await Caller.on(line)
        await line.restore()
        again = await Caller.on(line)
        assert (await again.asks(b"three"), line.port) == (b"three\n", port)
        again.hang_up()


async def test_a_lost_answer_is_of_work_that_was_done() -> None:
    async with ends() as (echo, line):
        caller = await Caller.on(line)
        for number in range(5):
            await caller.asks(b"%d" % number)
        line.drop_responses = True
        assert await caller.asks(b"charge") == b""
        assert echo.heard[-1] == b"charge\n"
        caller.hang_up()


async def test_a_half_open_line_keeps_the_client_waiting_for_ever() -> None:
    async with ends() as (echo, line):
        caller = await Caller.on(line)
        await caller.asks(b"one")
        line.half_open()
        await asyncio.wait_for(echo.gone.wait(), TIMEOUT)
        later = await Caller.on(line)
        await line.restore()
        for waiting in (caller, later):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting.asks(b"two"), 0.5)
            waiting.hang_up()
        new = await Caller.on(line)
        assert await new.asks(b"three") == b"three\n"
        assert echo.heard == [b"one\n", b"three\n"]
        new.hang_up()


async def test_a_silent_line_says_it_all_when_it_is_mended() -> None:
    async with ends() as (_echo, line):
        caller = await Caller.on(line)
        line.silence()
        waiting = asyncio.ensure_future(caller.asks(b"one"))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        await line.restore()
        assert await waiting == b"one\n"
        caller.hang_up()
