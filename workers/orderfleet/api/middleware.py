"""The budget of time of a request: opened for each, so that every caller is answered in time. `app` puts it around all.

A body that is still on its way is the caller's own time: the budget begins once the request is there.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from opentelemetry import context as ambient
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars, unbind_contextvars

from orderfleet.api.problems import too_large_detail
from orderfleet.observability.metrics import API_DURATION
from orderfleet.observability.order_trace import REMOTE_PARENT
from orderfleet.observability.tracing import TRACER, exemplar, trace_id
from orderfleet.services.deadline import Deadline, deadline_scope


class BudgetedRequests:
    """Gives each request its budget.

    Args:
        app: what it is put around.
        patience: the budget.
    """

    def __init__(self, app: ASGIApp, patience: timedelta) -> None:
        self._app = app
        self._seconds = patience.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        budget = Deadline(self._seconds)

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                budget.restart()
            return message

        with deadline_scope(budget):
            await self._app(scope, received, send)


class BodyBounds:
    """Refuses longer bodies with 413 and slower ones with 408.

    Args:
        app: what it is put around.
        limit: in bytes.
        timeout: from the first read to the last part.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout: timedelta) -> None:
        self._app = app
        self._limit = limit
        self._seconds = timeout.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A server passes on a length that is a number, or none.
        declared = int(Request(scope).headers.get("content-length", "0"))
        loop = asyncio.get_running_loop()
        read = 0
        end: float | None = None
        complete = False

        async def bounded() -> Message:
            nonlocal read, end, complete
            if complete:
                # Streams wait here for their client to go away.
                return await receive()
            if declared > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_detail(self._limit))
            end = loop.time() + self._seconds if end is None else end
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                detail = f"the body did not arrive within {self._seconds:g} s; send it faster"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from None
            read += len(message.get("body", b""))
            if read > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_detail(self._limit))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, bounded, send)


_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

PROBES: Final = frozenset({"/healthz", "/readyz"})

"""Paths that load balancers ask: a 503 of theirs is no error of the API."""

_NO_ROUTE: Final = "none"

_BROKEN: Final = 500


class MeasureRequests:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        told = False

        async def observed(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start" and not told:
                told = True
                _observe(scope, message["status"], began)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except BaseException:
            if not told:
                _observe(scope, _BROKEN, began)
            raise


def _observe(scope: Scope, status: int, began: float) -> None:
    # The router leaves the route it chose in the scope; its path is bounded, a request's isn't.
    route: Any = scope.get("route")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    API_DURATION.labels(method=method, route=getattr(route, "path", _NO_ROUTE), status=str(status)).observe(
        time.perf_counter() - began, exemplar=exemplar()
    )


_log = structlog.get_logger()


HEADER: Final = "X-Request-ID"

_SANE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class RequestLog:
    """Gives each request an id, answers it, and logs what became of the request.

    Args:
        app: what it is put around.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get(HEADER, ""))
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        # Whatever is logged on the way has these too.
        with bound_contextvars(request_id=request_id, trace_id=_trace(headers.get("traceparent", ""))):
            try:
                await self._app(scope, receive, answered)
            finally:
                told = _log.debug if scope["path"] in PROBES else _log.info
                told(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.perf_counter() - began, 4),
                    **_order(scope),
                    **_caller(scope),
                )
                unbind_contextvars("order_id")


def _request_id(given: str) -> str:
    return given if _SANE.fullmatch(given) else uuid4().hex


def _trace(parent: str) -> str:
    """The caller's trace, else the request's own; with tracing off one that is in the log alone."""
    found = _TRACEPARENT.fullmatch(parent)
    return found["trace"] if found else trace_id() or uuid4().hex


def _order(scope: Scope) -> dict[str, Any]:
    """The order in the path, unless the route has bound one."""
    order_id = scope.get("path_params", {}).get("order_id")
    return {} if order_id is None or "order_id" in get_contextvars() else {"order_id": order_id}


def _caller(scope: Scope) -> dict[str, Any]:
    caller = scope["state"].get("caller")
    return {"caller": caller} if caller else {}


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
            given = ambient.set_value(REMOTE_PARENT, value=True, context=given)
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
