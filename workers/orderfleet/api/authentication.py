"""Authentication as the settings configure it, and bearer tokens from a file.

The file is YAML (so JSON too): a list of `{name, role, token}`. Tokens are kept in memory as hashes only; a token
must never be logged.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Final, TypeVar

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from orderfleet.api.access import Access, Authenticator, Caller, Role, Unauthenticated, UnsafeSettings
from orderfleet.api.jwt import ClaimedRoles, JwksCache, JwtAuthenticator, parse_role_names
from orderfleet.domain.inputs import validation_message
from orderfleet.settings import Settings
from orderfleet.settings.processes import ApiAuth, Environment

_log = structlog.get_logger()


class WrongTokensFile(UnsafeSettings):
    """The tokens file can't be read or is not a list of tokens."""


class _Token(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Role
    # Shorter ones could be guessed.
    token: Annotated[SecretStr, Field(min_length=20)]


_TOKENS: Final = TypeAdapter(Annotated[list[_Token], Field(min_length=1)])


class FileAuthenticator:
    """Authenticates callers by the tokens of a file, which is read again when it changes.

    If a changed file is invalid, the error is logged and the previous tokens stay valid: a mistake in an edit must
    not lock out every caller.

    Args:
        file: the tokens file.

    Raises:
        WrongTokensFile: the file can't be read or is invalid.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = _stamp(file)
        self._callers = _read(file)

    async def authenticate(self, token: str) -> Caller:
        """The caller that the token identifies.

        Raises:
            Unauthenticated: the file has no such token.
        """
        self._refresh()
        presented = _digest(token)
        # All digests are compared, so that the response time reveals nothing about them.
        found = [caller for digest, caller in self._callers if hmac.compare_digest(digest, presented)]
        if not found:
            raise Unauthenticated("the token is unknown")
        return found[0]

    def _refresh(self) -> None:
        try:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                self._stamp = stamp
                self._callers = _read(self._file)
                _log.info("tokens file reloaded", file=str(self._file), tokens=len(self._callers))
        except WrongTokensFile as error:
            if self._stamp != (0, 0, 0):
                _log.error("tokens file is invalid, the previous tokens stay valid", problem=str(error))
            self._stamp = (0, 0, 0)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise WrongTokensFile(f"{file}: can't be read: {error.strerror}") from None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(file: Path) -> list[tuple[bytes, Caller]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        tokens = _TOKENS.validate_python(content)
    except (OSError, UnicodeDecodeError) as error:
        raise WrongTokensFile(f"{file}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError:
        raise WrongTokensFile(f"{file}: is not YAML; write a list of name, role and token") from None
    except ValidationError as error:
        # The message leaves out the input, which holds secrets.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise WrongTokensFile(
            f"{file}: {field}: {validation_message(first)}; write a list of name, role and token"
        ) from None
    return [(_digest(one.token.get_secret_value()), Caller(one.name, frozenset({one.role}))) for one in tokens]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


Value = TypeVar("Value")


def access_from(settings: Settings) -> Access:
    """The access checks that the settings configure.

    Raises:
        UnsafeSettings: ORDERFLEET_API_AUTH isn't set, or a setting that it requires is missing or invalid.
        WrongTokensFile: a tokens file can't be read or is invalid.
    """
    local = settings.environment is Environment.LOCAL
    file = settings.api_carrier_tokens_file
    carrier = FileAuthenticator(file) if file else None
    return Access(_authenticator(settings), carrier, allow_anonymous_carrier=local)


def _authenticator(settings: Settings) -> Authenticator | None:
    match settings.api_auth:
        case ApiAuth.TOKENS:
            file: Path = _required(settings.api_tokens_file, "ORDERFLEET_API_TOKENS_FILE", ApiAuth.TOKENS)
            return FileAuthenticator(file)
        case ApiAuth.JWT:
            url = _required(settings.api_jwks_url, "ORDERFLEET_API_JWKS_URL", ApiAuth.JWT)
            return JwtAuthenticator(
                JwksCache(url),
                issuer=_required(settings.api_jwt_issuer, "ORDERFLEET_API_JWT_ISSUER", ApiAuth.JWT),
                audience=_required(settings.api_jwt_audience, "ORDERFLEET_API_JWT_AUDIENCE", ApiAuth.JWT),
                roles=ClaimedRoles(settings.api_jwt_roles_claim, parse_role_names(settings.api_jwt_roles)),
            )
        case ApiAuth.NONE:
            return None
        case None if settings.environment is Environment.LOCAL:
            return None
    raise UnsafeSettings(
        "ORDERFLEET_API_AUTH isn't set: choose `tokens`, `jwt`, or `none` if every caller may change every order"
    )


def _required(value: Value | None, variable: str, choice: ApiAuth) -> Value:
    if not value:
        raise UnsafeSettings(f"{variable} isn't set: ORDERFLEET_API_AUTH={choice} needs it")
    return value
