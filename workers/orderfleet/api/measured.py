"""Measures requests: one ASGI middleware around the whole app, by route and status. `create_app` adds it.

It looks at no body and no header, and counts a stream from its request to its first byte.
"""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orderfleet.telemetry.catalog import API_DURATION
from orderfleet.telemetry.current import exemplar

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
