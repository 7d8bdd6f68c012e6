"""A TCP line between a client and a server that a test may cut, slow down, let go silent or let lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class TcpProxy:
    """The line: it listens on a port of its own and passes on to `to`, until something is wrong with it.

    A cut line refuses connections, as a server does that died; a silent one keeps them and says
    nothing, as one does behind a broken network. On a half-open one the server has hung up and the
    client never hears of it. One that loses answers passes a request on and breaks off at the answer:
    the work is done, and whoever asked for it isn't told.
    """

    def __init__(self, host: str, port: int) -> None:
        self.to = (host, port)
        """Where new connections go; a server that comes back on another port is told here."""
        self.delay = 0.0
        """Seconds that everything takes longer, each way."""
        self.losing_answers = False
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._deaf = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._passing: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Pass on (again), on the same port; a connection that was left half-open stays so."""
        self.delay, self.losing_answers, self._deaf = 0.0, False, False
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def silence(self) -> None:
        """Keep every connection and pass nothing on."""
        self._open.clear()

    def half_open(self) -> None:
        """Let the servers' ends be gone and the clients' be kept; new connections are no better."""
        self._deaf = True
        for task in list(self._passing):
            task.cancel()

    async def cut(self) -> None:
        """End every connection and take no more."""
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
            await self._open.wait()
            if not self._deaf:
                passing = asyncio.ensure_future(self._pass_both_ways(reader, writer))
                self._passing.add(passing)
                passing.add_done_callback(self._passing.discard)
                try:
                    await asyncio.wait([passing])
                finally:
                    passing.cancel()
                    await asyncio.gather(passing, return_exceptions=True)
                if not passing.cancelled():
                    return
            # Half-open: what the client says is taken, and nobody hears it.
            with suppress(OSError):
                while await reader.read(65536):
                    pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _pass_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.to)
        except OSError:
            return
        tasks = [
            asyncio.ensure_future(self._pass_on(reader, there_writer)),
            asyncio.ensure_future(self._pass_on(there_reader, writer, answers=True)),
        ]
        try:
            # Whichever side hangs up first, the other is told all that was said until then.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if all(task.result() for task in tasks if task.done()):
                writer.close()
                there_writer.close()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not there_writer.is_closing():
                there_writer.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool = False
    ) -> bool:
        """Pass on until the source ends; return whether it ended as it should."""
        heard = 0
        try:
            while data := await source.read(65536):
                heard += 1
                await self._open.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if answers and self.losing_answers and heard > _GREETING:
                    return False
                target.write(data)
                await target.drain()
        except OSError:
            return False
        return True


_GREETING = 4
"""Answers that a new connection gets before one is lost: those to its greeting, so that some work is asked for."""


@asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """A line to a server that passes on from the beginning."""
    line = TcpProxy(host, port)
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
