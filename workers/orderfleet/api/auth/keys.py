"""The public keys of an identity provider (JWKS, RFC 7517), fetched when needed and kept. `jwt` asks.

While the provider is unavailable, or answers with something else, the keys of its last good answer stay valid.

PyJWT reads a key; the fetch is ours, because PyJWT's `PyJWKClient` blocks the event loop, follows redirects and
reads answers of any length, and joserfc and Authlib fetch nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import aiohttp
import jwt
import structlog

from orderfleet.api.auth.access import KeysUnavailable, Unauthenticated
from orderfleet.client.budget import within

_log = structlog.get_logger()

LIFETIME_SECONDS: Final = 600.0
"""After which keys are fetched again, so that a key that was withdrawn is forgotten."""
LEAST_GAP_SECONDS: Final = 10.0
"""Between two fetches: tokens with made-up key ids must not become requests to the provider."""
LARGEST_ANSWER: Final = 512 * 1024
"""Bytes of a set of keys; one key takes about 500."""
_TIMEOUT_SECONDS: Final = 5.0
_PART: Final = 0.5
"""Of the caller's budget at most: the provider may hang, and with it what the caller came for."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
ALGORITHMS: Final = frozenset({*_RSA, *_OF_CURVE.values()})
"""Asymmetric only: a symmetric key that checks tokens makes them too."""


class _Key(NamedTuple):
    """A public key and the algorithms whose signatures it checks."""

    public: Any
    algorithms: frozenset[str]


class Keys:
    """Keys by id.

    Args:
        url: of the JWKS document.
        clock: seconds, rising.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, _Key] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None, algorithm: str) -> Any:
        """The public key of this id for this algorithm; a token without an id is checked with the only key there is.

        Raises:
            Unauthenticated: the provider has no such key, or not for this algorithm.
            KeysUnavailable: no key was ever fetched.
        """
        found = self._find(key_id)
        if found is None or self._older_than(LIFETIME_SECONDS, self._fetched_at):
            await self._fetch_unless_just_tried()
            found = self._find(key_id)
        if found is None and self._fetched_at is None:
            raise KeysUnavailable("the identity provider's keys can't be fetched")
        if found is None:
            raise Unauthenticated("the token is signed with a key that the identity provider doesn't have")
        if algorithm not in found.algorithms:
            raise Unauthenticated(f"the token is signed with {algorithm}, which its key is not for")
        return found.public

    def _find(self, key_id: str | None) -> _Key | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _older_than(self, seconds: float, moment: float | None) -> bool:
        return moment is None or self._clock() - moment >= seconds

    async def _fetch_unless_just_tried(self) -> None:
        """Wait for a fetch for as long as the caller can; the fetch serves all callers and outlasts this one."""
        if self._fetching is None or self._fetching.done():
            if not self._older_than(LEAST_GAP_SECONDS, self._tried_at):
                return
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._refresh())
        await asyncio.wait({self._fetching}, timeout=within(_TIMEOUT_SECONDS, part=_PART))

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                self._keys = dict(_usable(await self._fetch()))
            self._fetched_at = self._clock()
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            _log.warning("the keys could not be fetched", url=self._url, error=f"{type(error).__name__}: {error}")

    async def _fetch(self) -> Any:
        """The document.

        Raises:
            ClientError: the provider did not answer.
            ValueError: it answered something else than JSON of a bounded length.
        """
        async with aiohttp.ClientSession() as session, session.get(self._url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"status {answer.status} where 200 was expected; redirects are not followed")
            body = bytearray()
            async for part in answer.content.iter_chunked(64 * 1024):
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise ValueError(f"longer than {LARGEST_ANSWER} bytes")
        return json.loads(bytes(body))


def _usable(document: Any) -> list[tuple[str, _Key]]:
    """The keys of a document that check signatures; others are left out (RFC 7517, section 5).

    Raises:
        ValueError: it is no set of keys, or has none of these.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("the document is no JWKS: an object with the list `keys`")  # noqa: TRY004 - one kind of error
    found = list(_read(entries))
    if not found:
        raise ValueError("the document has no key that checks signatures")
    return found


def _read(entries: list[Any]) -> Iterator[tuple[str, _Key]]:
    for number, entry in enumerate(entries):
        algorithms = _algorithms(entry) if isinstance(entry, Mapping) else frozenset()
        if not algorithms:
            continue
        try:
            # PyJWK would take RS256 alone for a key that doesn't name its algorithm.
            key = jwt.PyJWK({**entry, "alg": min(algorithms)}).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("a key of the identity provider can't be read", kid=entry.get("kid"), error=str(error))
            continue
        public = key.public_key() if hasattr(key, "public_key") else key
        yield str(entry.get("kid") or f"#{number}"), _Key(public, algorithms)


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    """What a key may be used for: its own `alg`, else every algorithm of its type; nothing where `use` forbids it."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    curve = entry.get("crv")
    of_curve = _OF_CURVE.get(curve) if isinstance(curve, str) else None
    match entry.get("kty"):
        case "RSA":
            possible = frozenset(_RSA)
        case "EC" | "OKP" if of_curve is not None:
            possible = frozenset({of_curve})
        case _:
            # A symmetric key is no public key: every reader of the document could sign with it.
            return frozenset()
    return possible & {entry["alg"]} if isinstance(entry.get("alg"), str) else possible
