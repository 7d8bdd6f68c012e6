"""Bounds of connections below ASGI: how many there are, and how long a request's head may take to arrive.

`server` gives the protocol to uvicorn, which bounds neither: its `limit_concurrency` answers 503 to requests while
it still accepts connections, and a client that sends half a head keeps its connection for ever.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from orderfleet.api.problems import BUSY, HEAD_TIMEOUT, MEDIA_TYPE, RETRY_AFTER_SECONDS, Kind, without_request


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
