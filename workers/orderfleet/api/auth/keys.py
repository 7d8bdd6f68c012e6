"""The public keys of an identity provider (JWKS, RFC 7517), fetched when needed and kept. `jwt` asks.

While the provider is away the keys it gave before stay good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

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
_TIMEOUT_SECONDS: Final = 5.0
_PART: Final = 0.5
"""Of the caller's budget at most: the provider may hang, and with it what the caller came for."""
_SYMMETRIC: Final = "oct"


class Keys:
    """Keys by id.

    Args:
        url: of the JWKS document.
        clock: seconds, rising.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str | None) -> jwt.PyJWK:
        """The key of this id; a token without one is checked with the only key there is.

        Raises:
            Unauthenticated: the provider has no such key.
            KeysUnavailable: no key was ever fetched.
        """
        found = self._find(key_id)
        if found is None or self._older_than(LIFETIME_SECONDS, self._fetched_at):
            await self._fetch_unless_just_tried()
            found = self._find(key_id)
        if found is not None:
            return found
        if self._fetched_at is None:
            raise KeysUnavailable("the identity provider's keys can't be fetched")
        raise Unauthenticated("the token is signed with a key that the identity provider doesn't have")

    def _find(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _older_than(self, seconds: float, moment: float | None) -> bool:
        return moment is None or self._clock() - moment >= seconds

    async def _fetch_unless_just_tried(self) -> None:
        async with self._fetching:
            if not self._older_than(LEAST_GAP_SECONDS, self._tried_at):
                return
            self._tried_at = self._clock()
            try:
                self._keys = await self._fetch()
                self._fetched_at = self._clock()
            except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
                _log.warning("the keys could not be fetched", url=self._url, error=f"{type(error).__name__}: {error}")

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        bound = aiohttp.ClientTimeout(total=within(_TIMEOUT_SECONDS, part=_PART))
        async with (
            aiohttp.ClientSession(timeout=bound, raise_for_status=True) as session,
            session.get(self._url) as answer,
        ):
            document = await answer.json(content_type=None)
        # A symmetric key in there is no public key, and whoever can read it could sign.
        keys = [key for key in jwt.PyJWKSet.from_dict(document).keys if key.key_type != _SYMMETRIC]
        return {key.key_id or f"#{number}": key for number, key in enumerate(keys)}
