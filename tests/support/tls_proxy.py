"""TLS in front of a server that speaks none: it shows a certificate and may ask for the caller's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from orderfleet_local.stack.certificates import Certificates

_SSL_REQUEST = bytes.fromhex("00000008 04d2162f")


@asynccontextmanager
async def tls_proxy(
    address: str,
    own: Certificates,
    *,
    callers: Certificates | None = None,
    postgres: bool = False,
    at: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[str]:
    """Listen with `own` until the context closes; give the `host:port`.

    Args:
        address: where the plain server is.
        own: with the certificate to show.
        callers: whose authority has to have signed a caller's certificate; None asks for none.
        at: where to listen; the certificates are for 127.0.0.1.
        port: to listen on; 0 takes a free one.
        postgres: TLS begins as Postgres has it, asked for by a first message; else it is HTTP/2's.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.file("server.crt"), own.file("server.key"))
    if not postgres:
        context.set_alpn_protocols(["h2"])
    if callers is not None:
        context.load_verify_locations(callers.file("ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
    host, _, there = address.rpartition(":")
    passing: set[asyncio.Task[None]] = set()

    def note(task: asyncio.Task[None]) -> None:
        passing.add(task)
        task.add_done_callback(passing.discard)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if postgres:
            with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                assert await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST, "TLS wasn't asked for"
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
        there_reader, there_writer = await asyncio.open_connection(host, int(there))
        for source, target in ((reader, there_writer), (there_reader, writer)):
            note(asyncio.ensure_future(_pass_on(source, target)))

    server = await asyncio.start_server(connected, at, port, ssl=None if postgres else context)
    try:
        yield f"{at}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(passing):
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
    finally:
        target.transport.abort()
