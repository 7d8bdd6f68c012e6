"""Bearer tokens from a file, read again when it changes. An `Authenticator`.

The file is YAML (so JSON too): a list of `{name, role, token}`. A token stands nowhere but in that
file and, hashed, in memory; it must never be logged.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Final

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from orderfleet.api.auth.access import Caller, Role, Unauthenticated
from orderfleet.api.startup import UnsafeSettings
from orderfleet.contracts.complaints import complaint

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


class TokensFile:
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
        raise WrongTokensFile(f"{file}: {where}: {complaint(first)}; write a list of name, role and token") from None
    return [(_digest(one.token.get_secret_value()), Caller(one.name, frozenset({one.role}))) for one in tokens]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
