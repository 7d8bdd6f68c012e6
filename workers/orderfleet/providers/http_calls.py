"""HTTP calls to a provider's service: one attempt each, with the token and the authorities that its files hold now.

A connection is closed after an answer that does not belong to its call. A call is never repeated here: the activity's
retry policy does that.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from orderfleet.domain.base import Contract
from orderfleet.domain.durations import format_duration
from orderfleet.domain.errors import WrongSetting
from orderfleet.providers.http_answers import (
    MAX_ANSWER_BYTES,
    Answer,
    json_object,
    printable_line,
    reason,
    retry_after,
    validated,
)


class CertificateAuthorities:
    """The certificate authorities that verify a service's certificate.

    Args:
        file: their certificates, in PEM; None trusts the authorities of the system.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Return whether the file changed since the last `context`. A missing file counts as unchanged."""
        try:
            return self._file is not None and self._stat(self._file) != self._stamp
        except OSError:
            return False

    def context(self) -> ssl.SSLContext | bool:
        """Return what a server is verified by.

        Raises:
            ValueError: the file can't be read or holds no certificate; the message names it.
        """
        if self._file is None:
            return True
        try:
            stamp = self._stat(self._file)
            context = ssl.create_default_context(cafile=self._file)
        except OSError as error:
            # SSLError, raised for a file without a certificate, is an OSError too.
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else f"can't be read: {error.strerror}"
            raise ValueError(f"the file of authorities {self._file}: {why}") from None
        self._stamp = stamp
        return context

    @staticmethod
    def _stat(file: Path) -> tuple[int, int, int]:
        found = file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


_KEEPALIVE_SECONDS: Final = 4.0
"""Time that an idle connection is kept: less than the 5 s of common servers, so that none closes it during a call."""

_RETRYABLE_STATUSES: Final = frozenset({401, 408, 409, 425, 429})
"""Client errors that a later attempt may resolve: a renewed token, the same key in progress, too many calls."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class InvalidProviderFile(WrongSetting):
    """A file that the settings name, of the token or of the authorities, is missing or invalid."""


class CallFailed(Exception):
    """There is no valid answer; another attempt may succeed.

    Args:
        message: what failed.
        after: how long the service asks to wait; None when it does not.
    """

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


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


class _Pool:
    """Connections that are trusted until an answer on one of them is invalid."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.calls = 0
        self.trusted = True


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
        self._connections = connections
        self._authorities = CertificateAuthorities(ca_file)
        self._current: _Pool | None = None
        self._open: set[_Pool] = set()

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
                raise CallFailed(f"{self._service} answered {status}: {reason(body, response.reason)}", after)
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
        self, pool: _Pool, method: str, path: str, sent: Mapping[str, Any], max_bytes: int
    ) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Send the call; return the response and its body, None if it is too long."""
        headers = {**self._authorization(), **sent.get("headers", {})}
        try:
            async with pool.session.request(
                method, f"{self._url}{path}", **{**sent, "headers": headers}, allow_redirects=False
            ) as response:
                return response, await _read(response, max_bytes)
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
            token = self._token_file.read_text().strip()
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CallFailed(f"the token file {self._token_file} can't be read: {problem}") from error
        if not _TOKEN.fullmatch(token):
            raise CallFailed(f"the token file {self._token_file} has to hold one token and nothing else")
        return {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Pool]:
        """Yield trusted connections; close untrusted ones after the last call on them."""
        if self._current is not None and self._authorities.changed():
            self._current.trusted = False
        if self._current is None or not self._current.trusted:
            self._current = _Pool(self._session())
            self._open.add(self._current)
        pool = self._current
        pool.calls += 1
        try:
            yield pool
        finally:
            pool.calls -= 1
            if not pool.trusted and not pool.calls:
                self._open.discard(pool)
                await pool.session.close()

    def _session(self) -> aiohttp.ClientSession:
        try:
            authorities = self._authorities.context()
        except ValueError as error:
            raise CallFailed(str(error)) from None
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=authorities
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "orderfleet"},
        )

    async def __aenter__(self) -> Self:
        """Check the files; nothing is called yet.

        Raises:
            InvalidProviderFile: the token file or the file of authorities can't be used. During a call, `CallFailed`.
        """
        try:
            self._authorization()
            self._authorities.context()
        except (CallFailed, ValueError) as error:
            raise InvalidProviderFile(str(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in tuple(self._open):
            await pool.session.close()


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            response.close()
            return None
    return body
