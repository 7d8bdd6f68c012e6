"""Authentication with JWTs of an identity provider: its public keys (JWKS, RFC 7517), signatures, claims and roles.

The last valid key set stays in use while the provider is unavailable or sends an invalid one.

PyJWT parses keys. This module fetches them, because PyJWT's `PyJWKClient` blocks the event loop, follows redirects
and reads responses of any length, and joserfc and Authlib fetch nothing.
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

from orderfleet.api.access import Caller, KeysUnavailable, Role, Unauthenticated, UnsafeSettings
from orderfleet.services.deadline import remaining

_log = structlog.get_logger()


KEY_LIFETIME_SECONDS: Final = 600.0
"""Age at which the key set is fetched again, so that revoked keys are dropped."""
MIN_FETCH_INTERVAL_SECONDS: Final = 10.0
"""Between two fetches: tokens with random key ids must not cause requests to the provider."""
MAX_DOCUMENT_BYTES: Final = 512 * 1024
"""Of a key set; one key takes about 500 bytes."""
_FETCH_TIMEOUT_SECONDS: Final = 5.0
_DEADLINE_SHARE: Final = 0.5
"""Share of the request's remaining time that a fetch may use, so that a provider that hangs leaves some of it."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHM_BY_CURVE: Final = {
    "P-256": "ES256",
    "P-384": "ES384",
    "P-521": "ES512",
    "Ed25519": "EdDSA",
    "Ed448": "EdDSA",
}

ALGORITHMS: Final = frozenset({*_RSA, *_ALGORITHM_BY_CURVE.values()})
"""Asymmetric only: a symmetric key that verifies tokens can sign them too."""


class _Key(NamedTuple):
    """A public key and the algorithms whose signatures it verifies."""

    public: Any
    algorithms: frozenset[str]


class JwksCache:
    """The public keys of an identity provider, by key id.

    Args:
        url: of the JWKS document.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, _Key] = {}
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._fetch_task: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None, algorithm: str) -> Any:
        """The public key that verifies a token.

        Args:
            key_id: `kid` of the token; None selects the key of a set that has only one.
            algorithm: `alg` of the token.

        Raises:
            Unauthenticated: the provider has no such key, or has it for other algorithms.
            KeysUnavailable: no key set has been fetched yet.
        """
        found = self._find(key_id)
        if found is None or self._is_due(KEY_LIFETIME_SECONDS, self._fetched_at):
            await self._fetch_if_due()
            found = self._find(key_id)
        if found is None and self._fetched_at is None:
            raise KeysUnavailable("the keys of the identity provider can't be fetched")
        if found is None:
            raise Unauthenticated("the token is signed with a key that the identity provider does not have")
        if algorithm not in found.algorithms:
            raise Unauthenticated(f"the token is signed with {algorithm}, which its key does not support")
        return found.public

    def _find(self, key_id: str | None) -> _Key | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _is_due(self, interval: float, last: float | None) -> bool:
        return last is None or self._clock() - last >= interval

    async def _fetch_if_due(self) -> None:
        """Wait for a fetch within the request's deadline; the fetch is shared by all requests and outlasts this one."""
        if self._fetch_task is None or self._fetch_task.done():
            if not self._is_due(MIN_FETCH_INTERVAL_SECONDS, self._attempted_at):
                return
            self._attempted_at = self._clock()
            self._fetch_task = asyncio.create_task(self._refresh())
        await asyncio.wait({self._fetch_task}, timeout=remaining(_FETCH_TIMEOUT_SECONDS, part=_DEADLINE_SHARE))

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT_SECONDS):
                self._keys = dict(_verification_keys(await self._fetch()))
            self._fetched_at = self._clock()
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            _log.warning(
                "identity provider keys could not be fetched", url=self._url, error=f"{type(error).__name__}: {error}"
            )

    async def _fetch(self) -> Any:
        """The JWKS document.

        Raises:
            ClientError: the provider did not answer.
            ValueError: its response is not 200, not JSON or too long.
        """
        async with aiohttp.ClientSession() as session, session.get(self._url, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"status {response.status}, expected 200; redirects are not followed")
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"longer than {MAX_DOCUMENT_BYTES} bytes")
        return json.loads(bytes(body))


def _verification_keys(document: Any) -> list[tuple[str, _Key]]:
    """The keys that verify signatures, each with its id; other keys are ignored (RFC 7517, section 5).

    Raises:
        ValueError: the document is no key set, or has no such key.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("the document is no JWKS: an object with the list `keys`")  # noqa: TRY004 - one error type
    found = list(_parse_keys(entries))
    if not found:
        raise ValueError("the document has no key that verifies signatures")
    return found


def _parse_keys(entries: list[Any]) -> Iterator[tuple[str, _Key]]:
    for number, entry in enumerate(entries):
        algorithms = _algorithms(entry) if isinstance(entry, Mapping) else frozenset()
        if not algorithms:
            continue
        try:
            # PyJWK assumes RS256 for an RSA key without `alg`; the algorithm is checked in `key` instead.
            key = jwt.PyJWK({**entry, "alg": min(algorithms)}).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("identity provider key ignored: it can't be parsed", kid=entry.get("kid"), error=str(error))
            continue
        public = key.public_key() if hasattr(key, "public_key") else key
        yield str(entry.get("kid") or f"#{number}"), _Key(public, algorithms)


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    """The algorithms a key may verify: its `alg`, else all of its type; none if `use` or `key_ops` exclude it."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return frozenset()
    curve = entry.get("crv")
    curve_algorithm = _ALGORITHM_BY_CURVE.get(curve) if isinstance(curve, str) else None
    match entry.get("kty"):
        case "RSA":
            possible = frozenset(_RSA)
        case "EC" | "OKP" if curve_algorithm is not None:
            possible = frozenset({curve_algorithm})
        case _:
            # Anyone who reads the document could sign with a symmetric key.
            return frozenset()
    return possible & {entry["alg"]} if isinstance(entry.get("alg"), str) else possible


DEFAULT_ROLE_NAMES: Final[Mapping[str, frozenset[Role]]] = {str(role): frozenset({role}) for role in Role}
"""For an identity provider that uses our role names."""


class ClaimedRoles:
    """Reads the roles from a token's claims.

    Args:
        claim: name of the claim, or its path inside nested claims, joined by dots. Names may contain dots; the
            longest matching name is preferred.
        names: our roles by the provider's role names. Other names grant nothing.
    """

    def __init__(self, claim: str, names: Mapping[str, frozenset[Role]] = DEFAULT_ROLE_NAMES) -> None:
        self._claim = claim
        self._names = names

    def of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """The roles; empty if the claim is missing or is neither a list nor a space-separated string."""
        value = next(_values_at(claims, self._claim), None)
        names = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        return frozenset(role for name in names if isinstance(name, str) for role in self._names.get(name, ()))


def parse_role_names(setting: str) -> Mapping[str, frozenset[Role]]:
    """Our roles by the provider's role names, from `PROVIDER=OURS,PROVIDER=OURS`.

    An empty setting gives `DEFAULT_ROLE_NAMES`; a name that is listed twice has both roles.

    Raises:
        UnsafeSettings: an entry is malformed or names an unknown role.
    """
    found: dict[str, frozenset[Role]] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        provider_name, _, role = (part.strip() for part in pair.rpartition("="))
        if not provider_name or role not in DEFAULT_ROLE_NAMES:
            raise UnsafeSettings(
                f"ORDERFLEET_API_JWT_ROLES: {pair!r} isn't the provider's role name, `=` and one of"
                f" {', '.join(DEFAULT_ROLE_NAMES)};"
                " write `orders-admin=operate,orders-support=read`"
            )
        found[provider_name] = found.get(provider_name, frozenset()) | DEFAULT_ROLE_NAMES[role]
    return found or DEFAULT_ROLE_NAMES


def _values_at(claims: Any, path: str) -> Iterator[Any]:
    """The values at a dotted path; longer names are tried first."""
    if not isinstance(claims, Mapping):
        return
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if name in claims:
            if rest:
                yield from _values_at(claims[name], rest)
            else:
                yield claims[name]


LEEWAY_SECONDS: Final = 30
"""Allowed difference between the clocks of the provider and this process."""


class JwtAuthenticator:
    """Authenticates callers by JWTs of one issuer for one audience.

    Args:
        keys: of the issuer.
        issuer: required `iss`.
        audience: required in `aud`.
        roles: reads the roles from the claims.
    """

    def __init__(self, keys: JwksCache, *, issuer: str, audience: str, roles: ClaimedRoles) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles = roles

    async def authenticate(self, token: str) -> Caller:
        """The caller that the token identifies.

        Raises:
            Unauthenticated: the token is malformed, expired, or of another issuer or audience.
            KeysUnavailable: the issuer's keys can't be fetched.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise Unauthenticated("the signature algorithm of the token is not accepted")
            claims = jwt.decode(
                token,
                await self._keys.key(header.get("kid"), algorithm),
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the token is not valid: {error}") from None
        return Caller(str(claims["sub"]), self._roles.of(claims), expires_at=float(claims["exp"]) + LEEWAY_SECONDS)
