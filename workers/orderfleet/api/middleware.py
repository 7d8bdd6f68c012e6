"""ASGI middlewares around every request: trace and metrics, request id and log, limits of body and time.

They must never log or trace what a body or a query string contains. Only HTTP requests reach them: the server runs
without lifespan events and WebSockets.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import nullcontext
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars, unbind_contextvars

from orderfleet.api.problems import too_large_detail
from orderfleet.observability.metrics import API_DURATION
from orderfleet.observability.tracing import REMOTE_PARENT, TRACER, exemplar, trace_id
from orderfleet.services.deadline import Deadline, deadline_scope

_log = structlog.get_logger()

PROBE_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Paths of load balancers' probes: their 503 is no error of the API, so they are neither measured nor traced."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_INTERNAL_ERROR: Final = int(HTTPStatus.INTERNAL_SERVER_ERROR)

REQUEST_ID_HEADER: Final = "X-Request-ID"
_VALID_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class RequestLimits:
    """Rejects bodies that are too long (413) or too slow (408), and opens the deadline scope of each request.

    The deadline starts again with each part of the body: the time a client takes to send it is not the API's.

    Args:
        app: the next ASGI application.
        body_limit: in bytes.
        read_timeout: from the first read of the body to its last part.
        timeout: of the request once its body has arrived; None opens no deadline scope.
    """

    def __init__(
        self, app: ASGIApp, *, body_limit: int, read_timeout: timedelta, timeout: timedelta | None = None
    ) -> None:
        self._app = app
        self._body_limit = body_limit
        self._read_seconds = read_timeout.total_seconds()
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        deadline = None if self._timeout is None else Deadline(self._timeout.total_seconds())
        # The server rejects a length that isn't a number.
        declared = int(Headers(scope=scope).get("content-length", "0"))
        loop = asyncio.get_running_loop()
        received = 0
        read_until: float | None = None
        complete = False

        async def limited_receive() -> Message:
            nonlocal received, read_until, complete
            if complete:
                # A stream waits here for its client to disconnect, for as long as it is open.
                return await receive()
            if declared > self._body_limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_detail(self._body_limit))
            read_until = loop.time() + self._read_seconds if read_until is None else read_until
            try:
                async with asyncio.timeout_at(read_until):
                    message = await receive()
            except TimeoutError:
                detail = f"the body did not arrive within {self._read_seconds:g} s; send it faster"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from None
            if deadline is not None and message["type"] == "http.request":
                deadline.restart()
            received += len(message.get("body", b""))
            if received > self._body_limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_detail(self._body_limit))
            complete = not message.get("more_body", False)
            return message

        with nullcontext() if deadline is None else deadline_scope(deadline):
            await self._app(scope, limited_receive, send)


class RequestTelemetry:
    """Makes a server span for each request, in the trace of its `traceparent`, and records its duration.

    Args:
        app: the next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        if scope["path"] in PROBE_PATHS:
            await self._app(scope, receive, send)
            return
        parent = _PROPAGATOR.extract(dict(Headers(scope=scope)), context=otel_context.Context())
        if trace.get_current_span(parent).get_span_context().is_valid:
            parent = otel_context.set_value(REMOTE_PARENT, value=True, context=parent)
        token = otel_context.attach(parent)
        try:
            await self._serve_in_span(scope, receive, send)
        finally:
            otel_context.detach(token)

    async def _serve_in_span(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        started_at = time.perf_counter()
        observed = False
        with TRACER.start_as_current_span(
            method, kind=SpanKind.SERVER, attributes={"http.request.method": method}, record_exception=False
        ) as span:

            async def observed_send(message: Message) -> None:
                nonlocal observed
                if message["type"] == "http.response.start" and not observed:
                    observed = True
                    _set_response(span, scope, message["status"])
                    _observe_duration(scope, message["status"], started_at)
                await send(message)

            try:
                await self._app(scope, receive, observed_send)
            except BaseException:
                if not observed:
                    _observe_duration(scope, _INTERNAL_ERROR, started_at)
                raise


def _route(scope: Scope) -> str | None:
    """Path template of the matched route; the router stores the route in the scope."""
    return getattr(scope.get("route"), "path", None)


def _observe_duration(scope: Scope, status: int, started_at: float) -> None:
    # Labels have bounded values only: a route's template instead of the path, and standard methods.
    method = scope["method"] if scope["method"] in _METHODS else "other"
    API_DURATION.labels(method=method, route=_route(scope) or "none", status=str(status)).observe(
        time.perf_counter() - started_at, exemplar=exemplar()
    )


def _set_response(span: trace.Span, scope: Scope, status: int) -> None:
    route = _route(scope)
    if route is not None:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= _INTERNAL_ERROR:
        span.set_status(Status(StatusCode.ERROR))


class RequestLog:
    """Gives each request an id, returns it in a response header, and logs the request with its result.

    Args:
        app: the next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _VALID_REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started_at = time.perf_counter()
        status = _INTERNAL_ERROR

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        # All log entries of the request have these fields.
        with bound_contextvars(request_id=request_id, trace_id=_trace_id(headers.get("traceparent", ""))):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                log = _log.debug if scope["path"] in PROBE_PATHS else _log.info
                log(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.perf_counter() - started_at, 4),
                    **_order_field(scope),
                    **_caller_field(scope),
                )
                unbind_contextvars("order_id")


def _trace_id(traceparent: str) -> str:
    """Id of the caller's trace, else of the request's span; random if tracing is off, so that log entries have one."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found["trace"] if found else trace_id() or uuid4().hex


def _order_field(scope: Scope) -> dict[str, Any]:
    """The order id of the path, unless the route has bound one."""
    order_id = scope.get("path_params", {}).get("order_id")
    return {} if order_id is None or "order_id" in get_contextvars() else {"order_id": order_id}


def _caller_field(scope: Scope) -> dict[str, Any]:
    caller = scope["state"].get("caller")
    return {"caller": caller} if caller else {}
