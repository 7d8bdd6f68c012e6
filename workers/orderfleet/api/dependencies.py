"""The services that routes use, and the readiness of the API.

`/healthz` and `/readyz` on the API's port are for load balancers. `/metrics` is served on the health port only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from orderfleet.api.access import Access
from orderfleet.api.fanout import Fanout, StreamSlots
from orderfleet.domain.payment import PaymentUpdate
from orderfleet.services.orders import OrderService
from orderfleet.services.payment_updates import PaymentUpdateService
from orderfleet.services.payments import PaymentService
from orderfleet.services.refunds import RefundService
from orderfleet.services.stock import StockService
from orderfleet.settings import Settings

Check = Callable[[], Awaitable[object]]


class Readiness:
    """Ready once every check has passed, until the process drains.

    A check that has passed is not repeated: if an outage of Temporal or Postgres made the API unready, every replica
    would leave the Service at once, and callers would get no 503 with `Retry-After` any more.

    Args:
        checks: by name of the dependency; each raises while the dependency does not answer.
        timeout: of one check, in seconds.
    """

    def __init__(self, checks: Mapping[str, Check], *, timeout: float = 2.0) -> None:
        self._pending = dict(checks)
        self._timeout = timeout
        self._draining = False

    def drain(self) -> None:
        """Become unready, because the process is about to end."""
        self._draining = True

    async def problem(self) -> str | None:
        """Why the API is not ready, or None."""
        if self._draining:
            return "draining"
        for name, check in list(self._pending.items()):
            try:
                async with asyncio.timeout(self._timeout):
                    await check()
            except Exception as error:  # noqa: BLE001 - with any error the dependency has not answered
                return f"{name} has not answered yet: {str(error) or type(error).__name__}"
            self._pending.pop(name, None)
        return None


class PaymentReports(Protocol):
    """Reads the requests that the payment provider sends by itself."""

    def read(self, body: bytes, signature: str) -> PaymentUpdate | None:
        """Return what a request says of a payment; None if it says nothing of one.

        Raises:
            InvalidWebhook: the signature is wrong, or the body is no event.
            InvalidProviderFile: the signing secrets can't be read.
        """


REQUEST_TIMEOUT: Final = timedelta(seconds=1.9)
"""Bounds all waits of a request together, so that every caller gets a response within 2 s."""


@dataclass(frozen=True)
class Services:
    """The services of the API."""

    settings: Settings
    orders: OrderService
    payments: PaymentService
    refunds: RefundService
    stock: StockService
    readiness: Readiness
    fanout: Fanout
    access: Access = field(default_factory=Access)
    payment_updates: PaymentUpdateService | None = None
    payment_reports: PaymentReports | None = None
    """None if no signing secret is configured."""
    request_timeout: timedelta = REQUEST_TIMEOUT
    heartbeat_seconds: float = 10.0
    """Between two comments on an inactive stream, so that no proxy closes it."""

    @cached_property
    def streams(self) -> StreamSlots:
        """The open streams of this process."""
        return StreamSlots(self.settings.api_streams_per_caller)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]
"""Parameter of a route: the services."""


probes_router = APIRouter(tags=["probes"], default_response_class=PlainTextResponse)


@probes_router.get("/healthz", summary="Liveness", responses={200: {"description": "The process is alive."}})
async def healthz() -> str:
    """Respond; a blocked event loop doesn't."""
    return "ok\n"


@probes_router.get(
    "/readyz",
    summary="Readiness",
    responses={
        200: {"description": "Ready."},
        503: {"description": "Not ready; the body is the reason.", "content": {"text/plain": {}}},
    },
)
async def readyz(services: ServicesDependency) -> Response:
    """Ready once Temporal and Postgres have answered, until the process drains."""
    problem = await services.readiness.problem()
    return PlainTextResponse(f"{problem or 'ready'}\n", status_code=503 if problem else 200)
