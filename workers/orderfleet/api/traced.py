"""A span of each request, under the caller's when a `traceparent` came with it. `create_app` adds it, outermost.

Probes and scrapes leave no span. Neither path nor body is kept: they may name a customer.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import context as ambient
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orderfleet.api.measured import PROBES
from orderfleet.telemetry.current import TRACER
from orderfleet.telemetry.order_trace import CAME_ALONG

_BROKEN: Final = 500
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class TraceRequests:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        given = _PROPAGATOR.extract(dict(Headers(scope=scope)), context=ambient.Context())
        if trace.get_current_span(given).get_span_context().is_valid:
            given = ambient.set_value(CAME_ALONG, value=True, context=given)
        token = ambient.attach(given)
        try:
            await self._within_a_span(scope, receive, send)
        finally:
            ambient.detach(token)

    async def _within_a_span(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        with TRACER.start_as_current_span(
            method, kind=SpanKind.SERVER, attributes={"http.request.method": method}, record_exception=False
        ) as span:

            async def observed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _tell(span, scope, message["status"])
                await send(message)

            await self._app(scope, receive, observed)


def _tell(span: trace.Span, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= _BROKEN:
        span.set_status(Status(StatusCode.ERROR))
