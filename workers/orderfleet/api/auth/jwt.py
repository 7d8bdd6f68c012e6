"""JSON Web Tokens (RFC 7519) of an identity provider, checked against its keys. An `Authenticator`."""

from __future__ import annotations

from typing import Final

import jwt

from orderfleet.api.auth.access import Caller, Unauthenticated
from orderfleet.api.auth.keys import ALGORITHMS, Keys
from orderfleet.api.auth.roles import ClaimedRoles

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
