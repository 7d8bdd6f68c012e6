"""A TCP proxy between a client and a server, with which a test cuts, delays, silences or half-closes connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65536


class TcpProxy:
    """A proxy that listens on a port of its own and forwards to `to`, until a fault is set.

    `cut` refuses connections, as a server that has exited does. `silence` keeps connections and forwards nothing, as a
    broken network does. `half_open` closes the server's end while the client's stays open. `drop_responses` forwards a
    request and closes the connection at its response: the work is done, and the client cannot know.

    Args:
        host: of the server.
        port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self.to = (host, port)
        """Address for new connections; set it when the server moves to another port."""
        self.delay = 0.0
        """Seconds by which data is delayed, each way."""
        self.drop_responses = False
        self.port = 0
        self._forwarding_allowed = asyncio.Event()
        self._forwarding_allowed.set()
        self._half_open = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._forwarding: set[asyncio.Task[None]] = set()

    async def restore(self) -> None:
        """End every fault and listen on the same port; connections that are half-open are not mended."""
        self.delay, self.drop_responses, self._half_open = 0.0, False, False
        self._forwarding_allowed.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def silence(self) -> None:
        """Keep every connection and forward nothing."""
        self._forwarding_allowed.clear()

    def half_open(self) -> None:
        """Close the server's end of every connection and keep the client's; new connections get no server either."""
        self._half_open = True
        for task in list(self._forwarding):
            task.cancel()

    async def cut(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._forwarding_allowed.wait()
            if not self._half_open:
                forwarding = asyncio.ensure_future(self._forward_both_ways(reader, writer))
                self._forwarding.add(forwarding)
                forwarding.add_done_callback(self._forwarding.discard)
                try:
                    await asyncio.wait([forwarding])
                finally:
                    forwarding.cancel()
                    await asyncio.gather(forwarding, return_exceptions=True)
                if not forwarding.cancelled():
                    return
            # Half-open: the client's data is read and discarded.
            with suppress(OSError):
                while await reader.read(_CHUNK):
                    pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _forward_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.to)
        except OSError:
            return
        tasks = [
            asyncio.ensure_future(self._forward(reader, server_writer)),
            asyncio.ensure_future(self._forward(server_reader, writer, responses=True)),
        ]
        try:
            # When one side closes, the other still gets all data that was sent before.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if all(task.result() for task in tasks if task.done()):
                writer.close()
                server_writer.close()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not server_writer.is_closing():
                server_writer.transport.abort()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, responses: bool = False
    ) -> bool:
        """Forward until the source ends.

        Args:
            source: to read from.
            target: to write to.
            responses: whether this is the direction that `drop_responses` affects.

        Returns:
            Whether the source ended by an orderly close.
        """
        chunks = 0
        try:
            while data := await source.read(_CHUNK):
                chunks += 1
                await self._forwarding_allowed.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if responses and self.drop_responses and chunks > _HANDSHAKE_CHUNKS:
                    return False
                target.write(data)
                await target.drain()
        except OSError:
            return False
        return True


_HANDSHAKE_CHUNKS = 4
"""Responses that a new connection gets before one is dropped, so that the client gets as far as a request."""


@asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """Yield a proxy to a server, which forwards from the start."""
    proxy = TcpProxy(host, port)
    await proxy.restore()
    try:
        yield proxy
    finally:
        await proxy.cut()
