"""How long a request's body may be. `app` puts it around every route.

A body that says it is too long is refused unread; one that doesn't say is read up to the limit.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orderfleet.api.problems import too_large, too_large_detail


class BodyLimit:
    """Refuses longer bodies with 413.

    Args:
        app: what it is put around.
        limit: in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        # A server passes on a length that is a number, or none.
        if int(request.headers.get("content-length", "0")) > self._limit:
            await too_large(request, self._limit)(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_detail(self._limit))
            return message

        await self._app(scope, limited, send)
