"""How long a request's body may be, and how long it may take to arrive. `app` puts it around every route.

Nothing is checked before a route reads the body, so a caller without a token gets 401 whatever it sends.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orderfleet.api.problems import too_large_detail


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
