"""Bounds of connections below ASGI: how many there are, and how long a request's head may take to arrive.

`server` gives the protocol to uvicorn, which bounds neither: its `limit_concurrency` answers 503 to requests while
it still accepts connections, and a client that sends half a head keeps its connection for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from orderfleet.api.access import refuse_unsafe
from orderfleet.api.app import create_app
from orderfleet.api.authentication import access_of
from orderfleet.api.dependencies import PATIENCE, Readiness, Services
from orderfleet.api.fanout import Fanout
from orderfleet.api.problems import BUSY, HEAD_TIMEOUT, MEDIA_TYPE, RETRY_AFTER_SECONDS, Kind, without_request
from orderfleet.observability.health import HealthServer
from orderfleet.process import Stop, open_port
from orderfleet.services.carrier_updates import CarrierUpdateService
from orderfleet.services.orders import OrderService
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import connect as connect_to_store
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.connection import connect as connect_to_temporal
from orderfleet.temporal.credential_reload import reload_credentials


class BoundedConfig(uvicorn.Config):
    """A configuration whose connections are bounded.

    Args:
        app: to serve.
        connections: at most so many at once.
        read_timeout: from the connection, or the answer before, to the end of the next request's head.
        options: of uvicorn.
    """

    def __init__(self, app: Any, *, connections: int, read_timeout: timedelta, **options: Any) -> None:
        super().__init__(app, http=_BoundedProtocol, ws="none", **options)
        self.connections = connections
        self.read_seconds = read_timeout.total_seconds()


class _BoundedProtocol(H11Protocol):
    """One connection."""

    config: BoundedConfig
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.config.connections:
            self._end(BUSY, "too many connections are open; make the same request again")
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._serving():
            self._cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # One that was sent before the answer may be served already. What is left of an unread body counts as well.
        if not self._serving():
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _serving(self) -> bool:
        cycle: RequestResponseCycle | None = cast("Any", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(self.config.read_seconds, self._head_timed_out)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _head_timed_out(self) -> None:
        detail = f"the request did not arrive within {self.config.read_seconds:g} s; send it faster"
        self._end(HEAD_TIMEOUT, detail)

    def _end(self, kind: Kind, detail: str) -> None:
        """Close the connection, with an answer that says why unless one went before in this exchange."""
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(_answer(kind, detail))
        self.transport.close()


_RETRY: Final = f"retry-after: {RETRY_AFTER_SECONDS}\r\n"


def _answer(kind: Kind, detail: str) -> bytes:
    body = json.dumps(without_request(kind, detail)).encode()
    status = HTTPStatus(kind.status)
    retry = _RETRY if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        f"{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body


_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Leaves SIGTERM and SIGINT to the process, which asks for a stop the same way in every role."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _nothing() -> None:
    pass


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: Stop,
    settings: Settings,
    *,
    draining: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Serve `app` until asked to stop, then finish open requests within the drain bound.

    Args:
        app: to serve.
        listener: takes its connections.
        stop: ends it.
        settings: of the process.
        draining: called once it is to stop, while requests are still open.
    """
    server = _Server(
        BoundedConfig(
            app,
            connections=settings.api_connections,
            read_timeout=settings.api_read_timeout,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout.total_seconds())),
        )
    )
    address, port = listener.getsockname()[:2]
    _log.info("serving", address=address, port=port)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await draining()
    server.should_exit = True
    await serving
    _log.info("drained")


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop, then finish open requests within the drain bound.

    Raises:
        UnsafeSettings: see `startup` and `auth.choice`.
        WrongTokensFile: see `auth.tokens`.
        PortUnavailable: address or port can't be listened on.
    """
    refuse_unsafe(settings)
    access = access_of(settings)
    listener = open_port(settings.api_host, settings.api_port, "API")
    # Lazily: an API that starts while Temporal is away answers 503 until it is back.
    temporal = await connect_to_temporal(settings, lazy=True)
    async with reload_credentials(temporal, settings), connect_to_store(settings, "api") as database:
        reader = OrderReads(database)
        readiness = Readiness(
            {"Temporal": temporal.service_client.check_health, "the record": lambda: reader.orders([])}
        )
        client = OrderClient.of(temporal, settings, timeout=PATIENCE)
        desk = OrderService(client, reader, timeout=PATIENCE)
        carrier = CarrierUpdateService(client, desk, timeout=PATIENCE)
        fanout = Fanout(PostgresChangeFeed(database))
        app = create_app(Services(settings, desk, carrier, readiness, fanout, access))
        if access.people is None and settings.environment is not Environment.LOCAL:
            _log.warning("ORDERFLEET_API_AUTH is none: whoever reaches the API may change every order")

        async def draining() -> None:
            readiness.drain()
            await fanout.close()

        async with HealthServer(settings.health_host, settings.health_port, readiness.problem):
            await serve(app, listener, stop, settings, draining=draining)
