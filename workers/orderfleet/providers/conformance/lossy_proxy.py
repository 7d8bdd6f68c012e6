"""A TCP proxy between an adapter and its service, which loses an answer after the service acted on the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from orderfleet.providers.conformance.bench import Unexpected

_CHUNK: Final = 64 * 1024


class LossyProxy:
    """A proxy to an `http://` service.

    Args:
        url: of the service.
    """

    def __init__(self, url: str) -> None:
        self._service = urlsplit(url)
        self._loses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        """Of the proxy, with the path of the service."""

    @asynccontextmanager
    async def lose_answer(self) -> AsyncIterator[None]:
        """Lose the next answer inside the context.

        Raises:
            Unexpected: no call went through the proxy.
        """
        self._loses = True
        try:
            yield
        finally:
            lost, self._loses = not self._loses, False
        if not lost:
            raise Unexpected("a call through the proxy at `AdapterSettings.url`", "none; the adapter uses another URL")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LossyProxy]:
        """Serve inside the context."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._service._replace(netloc=f"127.0.0.1:{port}"))
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._service.hostname, self._service.port or 80
        try:
            service_reader, service_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, service_writer}
        self._writers |= both
        try:
            requests = asyncio.create_task(_copy(reader, service_writer))
            await self._answer(service_reader, writer)
            requests.cancel()
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy answers until the service or the adapter closes, or an answer is to be lost: it is not sent at all."""
        while data := await _read(reader):
            if self._loses:
                self._loses = False
                return
            writer.write(data)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _read(reader):
        writer.write(data)
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return b""
