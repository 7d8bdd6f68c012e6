"""HTTP calls to a provider's service: one attempt each, with the token and the authorities that its files hold now.

A connection is closed after an answer that does not belong to its call. A call is never repeated here: the activity's
retry policy does that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from orderfleet.domain.base import Contract
from orderfleet.domain.durations import format_duration
from orderfleet.providers.connections import Connections, InvalidProviderFile, Pool, read_body, read_token
from orderfleet.providers.http_answers import (
    MAX_ANSWER_BYTES,
    Answer,
    json_object,
    printable_line,
    reason,
    retry_after,
    validated,
)

_RETRYABLE_STATUSES: Final = frozenset({401, 408, 409, 425, 429})
"""Client errors that a later attempt may resolve: a renewed token, the same key in progress, too many calls."""


class CallFailed(Exception):
    """There is no valid answer; another attempt may succeed.

    Args:
        message: what failed.
        after: how long the service asks to wait; None when it does not.
        status: of its answer; 0 without a usable one.
    """

    def __init__(self, message: str, after: timedelta | None = None, *, status: int = 0) -> None:
        super().__init__(message)
        self.after = after
        self.status = status


class CallRejected(Exception):
    """The service rejected the call.

    Args:
        message: the service, the status, and the reason that it gives.
        status: of its answer, 400 to 499.
        named: whether the answer names what the call was about; otherwise it rejects only the request.
        code: the rejection's kind, where the contract defines one; empty otherwise.
    """

    def __init__(self, message: str, *, status: int, named: bool, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.named = named
        self.code = code


class HttpCalls:
    """Calls to one service.

    Args:
        service: its name in messages, such as `the payment provider`.
        url: of the service; paths are appended.
        token_file: holds the bearer token; read for every call, because it can be renewed. None sends none.
        timeout: of a whole call.
        connections: maximum number of them.
        ca_file: certificate authorities of the service; None trusts those of the system.
    """

    def __init__(
        self,
        service: str,
        url: str,
        *,
        token_file: Path | None,
        timeout: timedelta,
        connections: int,
        ca_file: Path | None = None,
    ) -> None:
        self._service = service
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._timeout = timeout
        self._connections = Connections(ca_file, timeout=timeout, limit=connections)

    async def post(
        self,
        path: str,
        request: Contract,
        model: type[Answer],
        *,
        key: str,
        named: tuple[str, object],
        expected: Mapping[str, object] | None = None,
    ) -> Answer:
        """Post `request` once and return the answer.

        Args:
            path: appended to the service's URL.
            request: sent as JSON.
            model: of a valid answer.
            key: sent as `Idempotency-Key`.
            named: field by which an answer names what the call was about, and its value.
            expected: values that further fields of the answer must have.

        Raises:
            CallFailed: there is no valid answer; another attempt may succeed.
            CallRejected: the service rejected the call.
        """
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        sent = {"data": request.model_dump_json().encode(), "headers": headers}
        return await self._call("POST", path, sent, model, dict([named]) | dict(expected or {}), named)

    async def get(
        self,
        path: str,
        model: type[Answer],
        *,
        query: Mapping[str, str] | None = None,
        named: tuple[str, object] | None = None,
        expected: Mapping[str, object] | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Get `path` once and return the answer.

        Args:
            path: appended to the service's URL.
            model: of a valid answer.
            query: parameters of the URL.
            named: field by which an answer names what the call was about, and its value; None for a list.
            expected: values that further fields of the answer must have.
            max_bytes: of the answer.

        Raises:
            CallFailed: there is no valid answer; another attempt may succeed.
            CallRejected: the service rejected the call.
        """
        values = dict([named] if named else []) | dict(expected or {})
        return await self._call("GET", path, {"params": query}, model, values, named, max_bytes)

    async def _call(
        self,
        method: str,
        path: str,
        sent: Mapping[str, Any],
        model: type[Answer],
        expected: Mapping[str, object],
        named: tuple[str, object] | None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        async with self._connected() as pool:
            response, body = await self._send(pool, method, path, sent, max_bytes)
            status, after = response.status, retry_after(response.headers)
            if status in _RETRYABLE_STATUSES or status >= 500:  # noqa: PLR2004 - HTTP's error classes
                raise CallFailed(
                    f"{self._service} answered {status}: {reason(body, response.reason)}", after, status=status
                )
            if status >= 400:  # noqa: PLR2004
                content = json_object(body)
                is_named = named is not None and content.get(named[0]) == named[1]
                pool.trusted = pool.trusted and is_named
                raise CallRejected(
                    f"{self._service} refused with {status}: {reason(body, response.reason)}",
                    status=status,
                    named=is_named,
                    code=str(content.get("code", "")),
                )
            try:
                return validated(model, status, body, expected, max_bytes)
            except ValueError as error:
                # The next answer on this connection may be the one to this call.
                pool.trusted = False
                raise CallFailed(f"{self._service} gave no usable answer to {path}: {error}", after) from error

    async def _send(
        self, pool: Pool, method: str, path: str, sent: Mapping[str, Any], max_bytes: int
    ) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Send the call; return the response and its body, None if it is too long."""
        headers = {**self._authorization(), **sent.get("headers", {})}
        try:
            async with pool.session.request(
                method, f"{self._url}{path}", **{**sent, "headers": headers}, allow_redirects=False
            ) as response:
                return response, await read_body(response, max_bytes)
        except TimeoutError as error:
            raise CallFailed(f"{self._service} did not answer within {format_duration(self._timeout)}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(
                f"{self._service} could not be reached: {printable_line(str(error) or type(error).__name__)}"
            ) from error

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {read_token(self._token_file)}"}
        except InvalidProviderFile as error:
            raise CallFailed(str(error)) from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Pool]:
        try:
            async with self._connections.acquire() as pool:
                yield pool
        except InvalidProviderFile as error:
            raise CallFailed(str(error)) from None

    async def __aenter__(self) -> Self:
        """Check the files; nothing is called yet.

        Raises:
            InvalidProviderFile: the token file or the file of authorities can't be used. During a call, `CallFailed`.
        """
        if self._token_file is not None:
            read_token(self._token_file)
        self._connections.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()
