"""Each fault of a TCP proxy, as client and server observe it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.tcp_proxy import TcpProxy, tcp_proxy

TIMEOUT = 30.0
"""Seconds; generous, for a busy machine."""


class Echo:
    """A server that echoes each line, and keeps what it received."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.disconnected = asyncio.Event()
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
                self.received.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.disconnected.set()
            writer.transport.abort()


@asynccontextmanager
async def echo_through_proxy() -> AsyncIterator[tuple[Echo, TcpProxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.connected, "127.0.0.1", 0)
    async with server:
        async with tcp_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            yield echo, proxy
        await echo.close()


class Caller:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, proxy: TcpProxy) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def send(self, request: bytes) -> bytes:
        """Return the response; empty if the connection broke."""
        self._writer.write(request + b"\n")
        try:
            return await asyncio.wait_for(self._reader.readline(), TIMEOUT)
        except ConnectionError:
            return b""

    def abort(self) -> None:
        self._writer.transport.abort()


async def test_proxy_passes_data_both_ways() -> None:
    async with echo_through_proxy() as (echo, proxy):
        caller = await Caller.connect(proxy)
        assert await caller.send(b"one") == b"one\n"
        caller.abort()
        await asyncio.wait_for(echo.disconnected.wait(), TIMEOUT)


async def test_cut_proxy_refuses_connections_until_it_is_restored_on_its_port() -> None:
    async with echo_through_proxy() as (_echo, proxy):
        caller = await Caller.connect(proxy)
        await caller.send(b"one")
        port = proxy.port
        await proxy.cut()
        assert await caller.send(b"two") == b""
        caller.abort()
        with pytest.raises(ConnectionRefusedError):
            await Caller.connect(proxy)
        await proxy.restore()
        reconnected = await Caller.connect(proxy)
        assert (await reconnected.send(b"three"), proxy.port) == (b"three\n", port)
        reconnected.abort()


async def test_dropped_response_leaves_the_request_delivered() -> None:
    async with echo_through_proxy() as (echo, proxy):
        caller = await Caller.connect(proxy)
        for number in range(5):
            await caller.send(b"%d" % number)
        proxy.drop_responses = True
        assert await caller.send(b"charge") == b""
        assert echo.received[-1] == b"charge\n"
        caller.abort()


async def test_half_open_proxy_keeps_its_connections_silent_after_it_is_restored() -> None:
    async with echo_through_proxy() as (echo, proxy):
        caller = await Caller.connect(proxy)
        await caller.send(b"one")
        proxy.half_open()
        await asyncio.wait_for(echo.disconnected.wait(), TIMEOUT)
        later = await Caller.connect(proxy)
        await proxy.restore()
        for blocked in (caller, later):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(blocked.send(b"two"), 0.5)
            blocked.abort()
        new = await Caller.connect(proxy)
        assert await new.send(b"three") == b"three\n"
        assert echo.received == [b"one\n", b"three\n"]
        new.abort()


async def test_silent_proxy_passes_held_data_when_it_is_restored() -> None:
    async with echo_through_proxy() as (_echo, proxy):
        caller = await Caller.connect(proxy)
        proxy.silence()
        blocked = asyncio.ensure_future(caller.send(b"one"))
        done, _ = await asyncio.wait([blocked], timeout=0.3)
        assert not done
        await proxy.restore()
        assert await blocked == b"one\n"
        caller.abort()
