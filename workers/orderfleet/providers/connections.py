"""Connections to a provider's service, verified by the certificate authorities that a file holds now.

A connection must be closed after an answer that does not belong to its call.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import aiohttp

from orderfleet.domain.errors import WrongSetting

_KEEPALIVE_SECONDS: Final = 4.0
"""Time that an idle connection is kept: less than the 5 s of common servers, so that none closes it during a call."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class InvalidProviderFile(WrongSetting):
    """A file that the settings name, of a token, of secrets or of authorities, is missing or invalid."""


def read_token(file: Path) -> str:
    """Return the token or the key in a file.

    Raises:
        InvalidProviderFile: the file can't be read, or holds anything else; the message names it.
    """
    try:
        token = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise InvalidProviderFile(f"the token file {file} can't be read: {_problem(error)}") from None
    if not _TOKEN.fullmatch(token):
        raise InvalidProviderFile(f"the token file {file} has to hold one token and nothing else")
    return token


def read_tokens(file: Path) -> tuple[str, ...]:
    """Return the secrets in a file, one a line.

    Raises:
        InvalidProviderFile: the file can't be read, holds none, or anything else; the message names it.
    """
    try:
        tokens = tuple(file.read_text().split())
    except (OSError, ValueError) as error:
        raise InvalidProviderFile(f"the file of secrets {file} can't be read: {_problem(error)}") from None
    if not tokens or not all(map(_TOKEN.fullmatch, tokens)):
        raise InvalidProviderFile(f"the file of secrets {file} has to hold secrets, one a line, and nothing else")
    return tokens


def _problem(error: OSError | ValueError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not text"


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
            InvalidProviderFile: the file can't be read or holds no certificate; the message names it.
        """
        if self._file is None:
            return True
        try:
            stamp = self._stat(self._file)
            context = ssl.create_default_context(cafile=self._file)
        except OSError as error:
            # SSLError, raised for a file without a certificate, is an OSError too.
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else f"can't be read: {error.strerror}"
            raise InvalidProviderFile(f"the file of authorities {self._file}: {why}") from None
        self._stamp = stamp
        return context

    @staticmethod
    def _stat(file: Path) -> tuple[int, int, int]:
        found = file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


class Pool:
    """Connections that are trusted until an answer on one of them is invalid."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.calls = 0
        self.trusted = True


class Connections:
    """The connections of one service. They are replaced when its file of authorities changes, or an answer is invalid.

    Args:
        ca_file: certificate authorities of the service; None trusts those of the system.
        timeout: of a whole call.
        limit: maximum number of connections.
    """

    def __init__(self, ca_file: Path | None, *, timeout: timedelta, limit: int) -> None:
        self._authorities = CertificateAuthorities(ca_file)
        self._timeout = timeout
        self._limit = limit
        self._current: Pool | None = None
        self._open: set[Pool] = set()

    def check(self) -> None:
        """Check the file of authorities.

        Raises:
            InvalidProviderFile: it can't be read or holds no certificate; the message names it.
        """
        self._authorities.context()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Pool]:
        """Yield trusted connections; close untrusted ones after the last call on them.

        Raises:
            InvalidProviderFile: as `check`.
        """
        if self._current is not None and self._authorities.changed():
            self._current.trusted = False
        if self._current is None or not self._current.trusted:
            self._current = Pool(self._session())
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
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limit, keepalive_timeout=_KEEPALIVE_SECONDS, ssl=self._authorities.context()
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "orderfleet"},
        )

    async def close(self) -> None:
        """Close every connection."""
        for pool in tuple(self._open):
            await pool.session.close()


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the body of an answer, or None if it is longer than `limit` bytes."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            return None
    return body
