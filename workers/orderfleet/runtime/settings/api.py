"""Where the API listens, who may call it and how much they may send."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.runtime.settings.base import Group, names


class ApiAuth(StrEnum):
    """How the API knows its callers."""

    NONE = "none"
    TOKENS = "tokens"
    JWT = "jwt"


class ApiSettings(Group):
    """Settings of the API."""

    api_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - a pod is reached from outside
        validation_alias=names("API_HOST", "API_HOST"),
        description="Address the API listens on.",
    )
    api_port: int = Field(
        default=8000, ge=0, le=65535, validation_alias=names("API_PORT", "API_PORT"), description="Port of the API."
    )
    api_auth: ApiAuth | None = Field(
        default=None,
        description="Who may call the API: `tokens` of a file, `jwt` of an identity provider, or `none` for everyone."
        " Without a choice it starts only where the environment is `local`.",
    )
    api_tokens_file: Path | None = Field(
        default=None,
        description="File of `tokens`: a YAML list of `name`, `role` (`read`, `operate`, `carrier`) and `token`;"
        " read again when it changes.",
    )
    api_carrier_tokens_file: Path | None = Field(
        default=None, description="Such a file for the carrier's own tokens, whatever the others are."
    )
    api_jwks_url: str | None = Field(
        default=None, pattern="^https?://", description="Where the identity provider's keys are, for `jwt`."
    )
    api_jwt_issuer: str | None = Field(default=None, description="`iss` of the provider's tokens.")
    api_jwt_audience: str | None = Field(default=None, description="What must stand in `aud` of its tokens.")
    api_jwt_roles_claim: str = Field(
        default="roles",
        min_length=1,
        description="Claim that holds a token's roles: a list, or text with spaces between. Dots lead into claims"
        " (`realm_access.roles`) unless a claim has that very name (`https://example.com/roles`).",
    )
    api_jwt_roles: str = Field(
        default="",
        description="What the provider's roles are here: `orders-admin=operate,orders-support=read`; no others count"
        " then. Empty: the provider calls them `read`, `operate`, `carrier`.",
    )
    api_read_timeout: Duration = Field(
        default=parse_duration("10s"),
        gt=timedelta(0),
        description="Longest time that a request's head, and then its body, may take to arrive.",
    )
    api_connections: int = Field(
        default=800,
        ge=1,
        description="Connections that the API, or the codec server, has open at once at most. Keep it below the"
        " process' limit of open files (`ulimit -n`).",
    )
    api_streams_per_caller: int = Field(
        default=100, ge=1, description="Streams (`/orders/{id}/watch`) that a caller has open at once at most."
    )
    api_body_limit: int = Field(
        default=1024 * 1024, ge=1024, description="Longest body of a request to the API, in bytes."
    )
