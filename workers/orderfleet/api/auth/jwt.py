"""JSON Web Tokens (RFC 7519) of an identity provider, checked against its keys. An `Authenticator`."""

from __future__ import annotations

from typing import Any, Final

import jwt

from orderfleet.api.auth.access import Caller, Role, Unauthenticated
from orderfleet.api.auth.keys import Keys

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric only: with the others, whoever can check a token can make one."""
LEEWAY_SECONDS: Final = 30
"""How far the provider's clock may be off."""


class Jwts:
    """Tokens of one issuer for one audience.

    Args:
        keys: of the issuer.
        issuer: `iss` of its tokens.
        audience: what must stand in `aud`.
        roles_claim: where the roles stand: a list, or text with spaces between.
    """

    def __init__(self, keys: Keys, *, issuer: str, audience: str, roles_claim: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim

    async def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: it is no token, of somebody else, for something else, or not valid now.
            KeysUnavailable: the issuer's keys can't be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated("the token is signed in a way that is not accepted")
            claims = jwt.decode(
                token,
                await self._keys.key(header.get("kid")),
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the token is not valid: {error}") from None
        return Caller(str(claims["sub"]), _roles(claims.get(self._roles_claim)))


def _roles(told: Any) -> frozenset[Role]:
    names = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
    return frozenset(role for role in Role if role in names)
