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

from orderfleet.api.access import Caller, KeysUnavailable, Role, Unauthenticated, UnsafeSettings
from orderfleet.services.deadline import remaining

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
        await asyncio.wait({self._fetching}, timeout=remaining(_TIMEOUT_SECONDS, part=_PART))

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


OURS: Final[Mapping[str, frozenset[Role]]] = {str(role): frozenset({role}) for role in Role}

"""Names of a provider that calls the roles as we do."""


class ClaimedRoles:
    """The roles in a token's claims.

    Args:
        claim: the claim's name, or the way to one inside others with dots between. A name may have dots itself;
            what is there under more of the name comes first.
        names: our roles by the provider's name. Other names give nothing.
    """

    def __init__(self, claim: str, names: Mapping[str, frozenset[Role]] = OURS) -> None:
        self._claim = claim
        self._names = names

    def of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """The roles; none where the claim is missing or is neither a list nor text with spaces between."""
        told = next(_at(claims, self._claim), None)
        given = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        return frozenset(role for name in given if isinstance(name, str) for role in self._names.get(name, ()))


def roles_by_name(setting: str) -> Mapping[str, frozenset[Role]]:
    """Read `THEIRS=OURS,THEIRS=OURS`; nothing is `OURS`, and a name that is given twice has both roles.

    Raises:
        UnsafeSettings: it can't be read, or names a role that there isn't.
    """
    found: dict[str, frozenset[Role]] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        theirs, _, ours = (part.strip() for part in pair.rpartition("="))
        if not theirs or ours not in OURS:
            raise UnsafeSettings(
                f"ORDERFLEET_API_JWT_ROLES: {pair!r} isn't a name of the provider's, `=`, and one of {', '.join(OURS)};"
                " write `orders-admin=operate,orders-support=read`"
            )
        found[theirs] = found.get(theirs, frozenset()) | OURS[ours]
    return found or OURS


def _at(claims: Any, way: str) -> Iterator[Any]:
    """What stands there, read with the longest names first."""
    if not isinstance(claims, Mapping):
        return
    parts = way.split(".")
    for length in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if name in claims:
            if rest:
                yield from _at(claims[name], rest)
            else:
                yield claims[name]


LEEWAY_SECONDS: Final = 30

"""How far the provider's clock may be off."""


class Jwts:
    """Tokens of one issuer for one audience.

    Args:
        keys: of the issuer.
        issuer: `iss` of its tokens.
        audience: what must stand in `aud`.
        roles: finds the roles in a token's claims.
    """

    def __init__(self, keys: Keys, *, issuer: str, audience: str, roles: ClaimedRoles) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles = roles

    async def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: it is no token, of somebody else, for something else, or not valid now.
            KeysUnavailable: the issuer's keys can't be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise Unauthenticated("the token is signed in a way that is not accepted")
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
