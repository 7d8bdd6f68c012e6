"""Which authorities a provider's certificate may be by: those of a file, or the system's.

`calls.client` asks before each call, so that an authority is renewed by writing its file.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from orderfleet.domain.base import Contract
from orderfleet.domain.durations import format_duration
from orderfleet.domain.errors import WrongSetting
from orderfleet.providers.http_answers import MAX_ANSWER_BYTES, Answer, checked, cut, mapping, reason, retry_after


class Trust:
    """Certificate authorities.

    Args:
        file: of the authorities in PEM; None trusts the system's.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file is another one than `context` read last; one that is away for a moment is not."""
        try:
            return self._file is not None and self._look(self._file) != self._stamp
        except OSError:
            return False

    def context(self) -> ssl.SSLContext | bool:
        """What to verify a server by.

        Raises:
            ValueError: the file can't be read or holds no certificate; the message names it.
        """
        if self._file is None:
            return True
        try:
            stamp = self._look(self._file)
            context = ssl.create_default_context(cafile=self._file)
        except OSError as error:
            # A file without a certificate is an error of TLS, which is one of the system's for Python.
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else f"can't be read: {error.strerror}"
            raise ValueError(f"the file of authorities {self._file}: {why}") from None
        self._stamp = stamp
        return context

    @staticmethod
    def _look(file: Path) -> tuple[int, int, int]:
        found = file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


_IDLE: Final = 4.0

"""Seconds an idle connection is kept: shorter than the 5 s of common servers, so that none closes it under a call."""


_COME_BACK: Final = frozenset({401, 408, 409, 425, 429})

"""Client errors that a later attempt may mend: a token renewed meanwhile, the same key in progress, too many."""


_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class InvalidProviderFile(WrongSetting):
    """A file that the settings name, of the token or of authorities, is missing or wrong."""


class CallFailed(Exception):
    """No answer, or none that holds; another attempt may mend it."""

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after
        """How long the other side asked to be left alone."""


class CallRejected(Exception):
    """The other side said no.

    Args:
        status: of its answer, 400 to 499.
        why: its own words.
        named: whether the answer names what the call was about; else it is a word on the request alone.
    """

    def __init__(self, status: int, why: str, *, named: bool) -> None:
        super().__init__(f"refused with {status}: {why}")
        self.status = status
        self.named = named


class _Pool:
    """Connections that are trusted as long as every answer on them held."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.calls = 0
        self.trusted = True


class HttpCalls:
    """Calls to one service.

    Args:
        who: as messages name it, such as `the payment provider`.
        url: of the service; paths are appended.
        token_file: holds the bearer token; read anew for every call, so that it may be renewed. None sends none.
        timeout: of a whole call.
        connections: held at most.
        ca_file: authorities that the service's certificate may be by; None trusts the system's.
    """

    def __init__(
        self,
        who: str,
        url: str,
        *,
        token_file: Path | None,
        timeout: timedelta,
        connections: int,
        ca_file: Path | None = None,
    ) -> None:
        self._who = who
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._timeout = timeout
        self._connections = connections
        self._trust = Trust(ca_file)
        self._current: _Pool | None = None
        self._open: set[_Pool] = set()

    async def post(
        self,
        path: str,
        body: Contract,
        answer: type[Answer],
        *,
        key: str,
        named: tuple[str, object],
        same: Mapping[str, object] | None = None,
    ) -> Answer:
        """Post `body` once and return the answer.

        Args:
            path: appended to the service's URL.
            body: sent as JSON.
            answer: model of a good answer.
            key: sent as `Idempotency-Key`.
            named: field by which an answer names what the call was about, and its value.
            same: further fields of the answer that have to be as they were asked for.

        Raises:
            CallFailed: another attempt may mend it.
            CallRejected: none can.
        """
        async with self._connected() as pool:
            response, raw = await self._sent(pool, path, body, key)
            status, after = response.status, retry_after(response.headers)
            if status in _COME_BACK or status >= 500:  # noqa: PLR2004 - HTTP's own line
                raise CallFailed(f"{self._who} answered {status}: {reason(raw, response.reason)}", after)
            if status >= 400:  # noqa: PLR2004
                ours = mapping(raw).get(named[0]) == named[1]
                pool.trusted = pool.trusted and ours
                raise CallRejected(status, reason(raw, response.reason), named=ours)
            try:
                return checked(answer, status, raw, dict([named]) | dict(same or {}))
            except ValueError as error:
                # What comes next on this connection may be the answer that belonged here.
                pool.trusted = False
                raise CallFailed(f"{self._who} gave no usable answer to {path}: {error}", after) from error

    async def _sent(
        self, pool: _Pool, path: str, body: Contract, key: str
    ) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Send the call; return the response and its body, None where that is too long."""
        headers = {**self._authorization(), "Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            async with pool.session.post(
                f"{self._url}{path}", data=body.model_dump_json().encode(), headers=headers, allow_redirects=False
            ) as response:
                return response, await _read(response)
        except TimeoutError as error:
            raise CallFailed(f"{self._who} did not answer within {format_duration(self._timeout)}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(f"{self._who} could not be reached: {cut(str(error) or type(error).__name__)}") from error

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
        """Give connections that are trusted; close those that are not once the last call on them is over."""
        if self._current is not None and self._trust.changed():
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
            trusted = self._trust.context()
        except ValueError as error:
            raise CallFailed(str(error)) from None
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=_IDLE, ssl=trusted),
            timeout=aiohttp.ClientTimeout(total=self._timeout.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "orderfleet"},
        )

    async def __aenter__(self) -> Self:
        """Be ready to call; nothing is called yet.

        Raises:
            InvalidProviderFile: the token file or the authorities can't be used. Later on that is a call that failed.
        """
        try:
            self._authorization()
            self._trust.context()
        except (CallFailed, ValueError) as error:
            raise InvalidProviderFile(str(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in tuple(self._open):
            await pool.session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    raw = b""
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > MAX_ANSWER_BYTES:
            response.close()
            return None
    return raw
