"""The process of the API: its HTTP server, and the limits of connections below ASGI.

uvicorn limits neither the number of connections nor the time a request's head may take: its `limit_concurrency`
rejects requests but still accepts connections, and a client that sends half a head keeps its connection open. Nor does
it limit the time that a response waits for a client that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from orderfleet.api import problems
from orderfleet.api.access import UnsafeSettings
from orderfleet.api.app import create_app
from orderfleet.api.authentication import access_from
from orderfleet.api.dependencies import REQUEST_TIMEOUT, PaymentReports, Readiness, Services
from orderfleet.api.fanout import Fanout
from orderfleet.observability.health import serve_health
from orderfleet.process import Stop, open_port
from orderfleet.services.orders import OrderService
from orderfleet.services.payment_updates import PaymentUpdateService
from orderfleet.services.payments import PaymentService
from orderfleet.services.refunds import RefundService
from orderfleet.services.stock import StockService
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.finance import FinanceReads
from orderfleet.store.payments import PaymentWrites
from orderfleet.store.pool import connect as connect_to_store
from orderfleet.store.reads import OrderReads
from orderfleet.store.stock_admin import StockAdmin
from orderfleet.temporal.connection import connect as connect_to_temporal
from orderfleet.temporal.connection import reload_credentials


class BoundedConfig(uvicorn.Config):
    """uvicorn configuration with limits of connections.

    Args:
        app: to serve.
        connections: maximum number of open connections.
        read_timeout: from the connection, or the previous response, to the end of the next request's head.
        write_timeout: while a client reads nothing of a response that waits for it.
        options: of uvicorn.
    """

    def __init__(
        self, app: Any, *, connections: int, read_timeout: timedelta, write_timeout: timedelta, **options: Any
    ) -> None:
        super().__init__(app, http=_BoundedProtocol, ws="none", **options)
        self.connections = connections
        self.read_seconds = read_timeout.total_seconds()
        self.write_milliseconds = round(write_timeout.total_seconds() * 1000)


class _BoundedProtocol(H11Protocol):
    """A connection with limits on the time between requests, and on the time that a response waits for its client."""

    config: BoundedConfig
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if sys.platform == "linux":
            # The kernel's limit also covers what is left of a response when uvicorn closes the connection.
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.config.write_milliseconds)
        if len(self.connections) > self.config.connections:
            self._reject(problems.BUSY, "too many connections are open; send the same request again")
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._serving():
            self._cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # A pipelined request may be served already. The rest of an unread body counts as a new request's head.
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
        self._reject(problems.HEAD_TIMEOUT, detail)

    def _reject(self, problem_type: problems.ProblemType, detail: str) -> None:
        """Close the connection, with a problem document if no response was started."""
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(_response(problem_type, detail))
        self.transport.close()


_RETRY_AFTER: Final = f"retry-after: {problems.RETRY_AFTER_SECONDS}\r\n"


def _response(problem_type: problems.ProblemType, detail: str) -> bytes:
    body = json.dumps(problems.problem_without_request(problem_type, detail)).encode()
    status = HTTPStatus(problem_type.status)
    retry_after = _RETRY_AFTER if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\n{retry_after}connection: close\r\n\r\n"
    )
    return head.encode() + body


_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn server without signal handlers: the process handles SIGTERM and SIGINT."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: Stop,
    settings: Settings,
    *,
    draining: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve `app` until a stop is requested, then complete open requests within the drain timeout.

    Args:
        app: to serve.
        listener: accepts the connections.
        stop: ends the server.
        settings: of the process.
        draining: called at the stop, while requests are still open.
    """
    server = _Server(
        BoundedConfig(
            app,
            connections=settings.api_connections,
            read_timeout=settings.api_read_timeout,
            write_timeout=settings.api_write_timeout,
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
    await stop.wait(serving)
    if draining is not None:
        await draining()
    server.should_exit = True
    await serving
    _log.info("drained")


def _payment_reports(settings: Settings) -> PaymentReports | None:
    if settings.stripe_webhook_secret_file is None:
        return None
    # The SDK takes half a second of CPU and 10 MiB, so it is imported where it is used only.
    from orderfleet.providers.payments.stripe.events import StripeEvents  # noqa: PLC0415

    return StripeEvents(settings.stripe_webhook_secret_file)


async def run(settings: Settings, stop: Stop) -> None:
    """Run the API until a stop is requested, then complete open requests within the drain timeout.

    Args:
        settings: of the process.
        stop: ends it.

    Raises:
        UnsafeSettings: settings are dangerous together, or authentication is not configured.
        WrongTokensFile: a tokens file can't be read or is invalid.
        InvalidProviderFile: the file of the signing secrets of webhooks can't be read or is invalid.
        PortUnavailable: address or port can't be listened on.
    """
    if settings.sample_orders and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings(
            "ORDERFLEET_SAMPLE_ORDERS is for ORDERFLEET_ENVIRONMENT=local only: it would ship samples"
            " to a sample address; change one of them"
        )
    access = access_from(settings)
    reports = _payment_reports(settings)
    listener = open_port(settings.api_host, settings.api_port, "API")
    # Lazy: the API starts while Temporal is unavailable, and returns 503 until it is available.
    temporal = await connect_to_temporal(settings, lazy=True)
    async with reload_credentials(temporal, settings), connect_to_store(settings, "api") as database:
        reader = OrderReads(database)
        readiness = Readiness(
            {"Temporal": temporal.service_client.check_health, "the order store": lambda: reader.orders([])}
        )
        client = OrderClient.of(temporal, settings, timeout=REQUEST_TIMEOUT)
        orders = OrderService(client, reader, unique_reference=settings.unique_reference, timeout=REQUEST_TIMEOUT)
        fanout = Fanout(PostgresChangeFeed(database))
        ledger = FinanceReads(database)
        payments = PaymentService(orders, ledger, timeout=REQUEST_TIMEOUT)
        refunds = RefundService.of(temporal, orders, ledger, settings, timeout=REQUEST_TIMEOUT)
        services = Services(
            settings,
            orders,
            payments,
            refunds,
            StockService(StockAdmin(database), timeout=REQUEST_TIMEOUT),
            readiness,
            fanout,
            access,
            payment_updates=PaymentUpdateService(PaymentWrites(database), client),
            payment_reports=reports,
        )
        app = create_app(services)
        if access.authenticator is None and settings.environment is not Environment.LOCAL:
            _log.warning("ORDERFLEET_API_AUTH is none: every caller may change every order")

        async def draining() -> None:
            readiness.drain()
            await fanout.close()

        async with serve_health(settings.health_host, settings.health_port, readiness.problem):
            await serve(app, listener, stop, settings, draining=draining)
