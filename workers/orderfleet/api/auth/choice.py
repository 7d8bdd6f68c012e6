"""From the settings to how callers are known. `serve` calls it before anything listens.

No choice is a choice only on a local stack: elsewhere the API refuses to start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from orderfleet.api.auth.access import Access, Authenticator
from orderfleet.api.auth.jwt import Jwts
from orderfleet.api.auth.keys import Keys
from orderfleet.api.auth.roles import ClaimedRoles, roles_by_name
from orderfleet.api.auth.tokens import TokensFile
from orderfleet.api.startup import UnsafeSettings
from orderfleet.runtime.settings import ApiAuth, Environment, Settings

Value = TypeVar("Value")


def access_of(settings: Settings) -> Access:
    """How callers are known.

    Raises:
        UnsafeSettings: there is no choice, or what it needs isn't set or is wrong.
        WrongTokensFile: a tokens file can't be read or is wrong.
    """
    local = settings.environment is Environment.LOCAL
    file = settings.api_carrier_tokens_file
    return Access(_people(settings), TokensFile(file) if file else None, carrier_open=local)


def _people(settings: Settings) -> Authenticator | None:
    match settings.api_auth:
        case ApiAuth.TOKENS:
            file: Path = _needed(settings.api_tokens_file, "ORDERFLEET_API_TOKENS_FILE", ApiAuth.TOKENS)
            return TokensFile(file)
        case ApiAuth.JWT:
            url = _needed(settings.api_jwks_url, "ORDERFLEET_API_JWKS_URL", ApiAuth.JWT)
            return Jwts(
                Keys(url),
                issuer=_needed(settings.api_jwt_issuer, "ORDERFLEET_API_JWT_ISSUER", ApiAuth.JWT),
                audience=_needed(settings.api_jwt_audience, "ORDERFLEET_API_JWT_AUDIENCE", ApiAuth.JWT),
                roles=ClaimedRoles(settings.api_jwt_roles_claim, roles_by_name(settings.api_jwt_roles)),
            )
        case ApiAuth.NONE:
            return None
        case None if settings.environment is Environment.LOCAL:
            return None
    raise UnsafeSettings(
        "ORDERFLEET_API_AUTH isn't set: choose `tokens`, `jwt`, or `none` if whoever reaches the API may change"
        " every order"
    )


def _needed(value: Value | None, variable: str, choice: ApiAuth) -> Value:
    if not value:
        raise UnsafeSettings(f"{variable} isn't set: ORDERFLEET_API_AUTH={choice} needs it")
    return value
