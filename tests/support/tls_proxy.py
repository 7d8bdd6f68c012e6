"""A TLS proxy in front of a server without TLS; it can require a client certificate."""

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
    certificates: Certificates,
    *,
    client_certificates: Certificates | None = None,
    postgres: bool = False,
    at: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[str]:
    """Listen until the context closes; yield the `host:port`.

    Args:
        address: of the server without TLS.
        certificates: of the proxy.
        client_certificates: whose authority must have signed the client's certificate; None requires none.
        at: address to listen on; the certificates are for 127.0.0.1.
        port: to listen on; 0 chooses a free one.
        postgres: start TLS after Postgres' SSLRequest message; otherwise at once, for HTTP/2.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.file("server.crt"), certificates.file("server.key"))
    if not postgres:
        context.set_alpn_protocols(["h2"])
    if client_certificates is not None:
        context.load_verify_locations(client_certificates.file("ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
    host, _, server_port = address.rpartition(":")
    forwarding: set[asyncio.Task[None]] = set()

    def track(task: asyncio.Task[None]) -> None:
        forwarding.add(task)
        task.add_done_callback(forwarding.discard)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if postgres:
            with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                assert await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST, "the client did not request TLS"
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
        server_reader, server_writer = await asyncio.open_connection(host, int(server_port))
        for source, target in ((reader, server_writer), (server_reader, writer)):
            track(asyncio.ensure_future(_forward(source, target)))

    server = await asyncio.start_server(connected, at, port, ssl=None if postgres else context)
    try:
        yield f"{at}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(forwarding):
            task.cancel()
        await asyncio.gather(*forwarding, return_exceptions=True)


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
    finally:
        target.transport.abort()
