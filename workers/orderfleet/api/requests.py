"""A request's id, and one log line for each request. `app` puts it around everything.

What stands in a query or a body must never be logged: it may be somebody's address.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars, unbind_contextvars

from orderfleet.api.measured import PROBES
from orderfleet.telemetry.current import trace_id

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
