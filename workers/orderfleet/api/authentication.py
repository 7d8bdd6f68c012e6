"""Bearer tokens from a file, read again when it changes. An `Authenticator`.

The file is YAML (so JSON too): a list of `{name, role, token}`. A token stands nowhere but in that
file and, hashed, in memory; it must never be logged.
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
from orderfleet.api.jwt import ClaimedRoles, Jwts, Keys, roles_by_name
from orderfleet.domain.validation_messages import validation_message
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

_Stamp = tuple[int, int, int]


class FileAuthenticator:
    """The tokens of a file.

    A file that turns wrong is told in the log, and the tokens before it stay good: a slip in an edit
    must not lock everyone out.

    Args:
        file: the tokens file.

    Raises:
        WrongTokensFile: it can't be read now, or is wrong.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = _stamp(file)
        self._known = _read(file)

    async def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: it is not in the file.
        """
        self._refresh()
        given = _digest(token)
        # All of them, whichever fits: how long it takes tells nothing.
        found = [caller for digest, caller in self._known if hmac.compare_digest(digest, given)]
        if not found:
            raise Unauthenticated("the token is not known")
        return found[0]

    def _refresh(self) -> None:
        try:
            stamp = _stamp(self._file)
            if stamp != self._stamp:
                self._stamp = stamp
                self._known = _read(self._file)
                _log.info("tokens read again", file=str(self._file), tokens=len(self._known))
        except WrongTokensFile as error:
            if self._stamp != (0, 0, 0):
                _log.error("the tokens before stay good", problem=str(error))
            self._stamp = (0, 0, 0)


def _stamp(file: Path) -> _Stamp:
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
        # Without what was given: it is a secret.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise WrongTokensFile(
            f"{file}: {where}: {validation_message(first)}; write a list of name, role and token"
        ) from None
    return [(_digest(one.token.get_secret_value()), Caller(one.name, frozenset({one.role}))) for one in tokens]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


Value = TypeVar("Value")


def access_of(settings: Settings) -> Access:
    """How callers are known.

    Raises:
        UnsafeSettings: there is no choice, or what it needs isn't set or is wrong.
        WrongTokensFile: a tokens file can't be read or is wrong.
    """
    local = settings.environment is Environment.LOCAL
    file = settings.api_carrier_tokens_file
    return Access(_people(settings), FileAuthenticator(file) if file else None, carrier_open=local)


def _people(settings: Settings) -> Authenticator | None:
    match settings.api_auth:
        case ApiAuth.TOKENS:
            file: Path = _needed(settings.api_tokens_file, "ORDERFLEET_API_TOKENS_FILE", ApiAuth.TOKENS)
            return FileAuthenticator(file)
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
