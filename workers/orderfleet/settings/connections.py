"""Settings of the connections to Postgres and Temporal, and of encryption; the address of Postgres as they give it.

The address is a value, or in a file that may change while the process runs. It holds a password, so it must never be in
a log or in the message of an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias
from urllib.parse import urlsplit

import structlog
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from orderfleet.domain.durations import PositiveDuration, parse_duration
from orderfleet.domain.errors import WrongSetting
from orderfleet.settings.base import Group, names, variable

_MAX_NAME_BYTES: Final = 63
"""Longest name in Postgres, in bytes (NAMEDATALEN - 1)."""

_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")
"""One of the hosts in a URL: a name, an IPv4 or IPv6 address or the folder of a socket, and a port."""


def _plain_dsn(value: Any) -> Any:
    # `postgresql+asyncpg://` is SQLAlchemy's notation with a driver; the rest of the URL is the same.
    return value.replace("postgresql+asyncpg://", "postgresql://", 1) if isinstance(value, str) else value


def _role(value: str) -> str:
    # Postgres truncates a longer name with a notice only, and `public` means all roles.
    if not 0 < len(value.encode()) <= _MAX_NAME_BYTES or "\0" in value:
        raise ValueError(f"a role's name has 1 to {_MAX_NAME_BYTES} bytes and no NUL")
    if value == "public" or value.startswith("pg_"):
        raise ValueError("the name is reserved by Postgres; use the role that the processes log in as")
    return value


def _postgres(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        valid = parts.scheme in {"postgresql", "postgres"}
        valid = valid and all(map(_HOST.fullmatch, parts.netloc.rpartition("@")[2].split(",")))
    except ValueError:
        # The message of this error quotes a part of the URL, which can be the password.
        valid = False
    if not valid:
        raise ValueError("write postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE, with %40 for an @ in the password")
    return value


def _host_and_port(value: str) -> str:
    if "://" in value:
        raise ValueError("write HOST:PORT, without a scheme; set TEMPORAL_TLS to use TLS")
    return value


RoleName = Annotated[str, AfterValidator(_role)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(_plain_dsn), AfterValidator(_postgres)]

_log = structlog.get_logger()
_ADDRESS: Final[TypeAdapter[SecretStr]] = TypeAdapter(DatabaseUrl)

Address: TypeAlias = Callable[[], str]
"""Returns the address for a connection that is opened now."""


class ConnectionSettings(Group):
    """Settings of the connections that several roles have."""

    database_url: DatabaseUrl = Field(
        default=SecretStr("postgresql://orderfleet@127.0.0.1:5432/orderfleet"),
        validation_alias=names("DATABASE_URL", "DATABASE_URL"),
    )
    """URL of the order store, a Postgres database. `postgresql+asyncpg://` is accepted too."""
    database_url_file: Path | None = None
    """File that holds the address of Postgres, in place of `ORDERFLEET_DATABASE_URL`. It is read again for each new
    connection, so a password that was rotated is used without a restart."""
    database_listen_url: DatabaseUrl | None = None
    """URL at which operator and API listen for changes. They need a session of their own, so it must bypass a pooler in
    transaction mode. Unset: the database URL."""
    database_listen_url_file: Path | None = None
    """File that holds that address, in place of `ORDERFLEET_DATABASE_LISTEN_URL`, and is read again in the same way."""
    database_prepared_statements: bool = True
    """Whether statements are prepared once per connection. Set `false` for a pooler in transaction mode without
    prepared statements (PgBouncer without `max_prepared_statements`): each call takes two round trips."""
    database_runtime_role: RoleName | None = None
    """Postgres role of workers, operator and API, if another role migrates: `orderfleet migrate` grants it the
    privileges that they need and no others."""
    prune_after: PositiveDuration | None = None
    """How long after an order's end `orderfleet prune` removes its audit trail. If unset, `--older-than` is
    required."""
    database_pool_size: int = Field(default=10, ge=1)
    """Maximum number of connections of a process."""
    database_timeout: PositiveDuration = parse_duration("2s")
    """Timeout of a connection, and of a statement. Keep it below the attempt timeouts of the steps."""
    temporal_address: Annotated[str, AfterValidator(_host_and_port)] | None = Field(
        default=None, validation_alias=names("TEMPORAL_ADDRESS", "TEMPORAL_TARGET")
    )
    """Temporal's host and port. Unset: Temporal's own `TEMPORAL_ADDRESS` and profile file apply; they also set TLS
    (`TEMPORAL_TLS_…`)."""
    temporal_namespace: str | None = None
    """Temporal namespace. Unset: Temporal's own settings apply, else `default`."""
    temporal_api_key_file: Path | None = None
    """File of the API key for Temporal, read again when it changes. It enables TLS unless `TEMPORAL_TLS` says
    otherwise."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        for field in ("database_url", "database_listen_url"):
            file = f"{field}_file"
            if getattr(self, file) is not None and field in self.model_fields_set and getattr(self, field) is not None:
                raise ValueError(
                    f"{variable(file)} and {variable(field)} (or its other name) are both set; leave one of them unset"
                )
        return self


class EncryptionSettings(Group):
    """Settings of payload encryption and of the codec server."""

    encryption_keys_dir: Path | None = None
    """Folder of the keys that encrypt and decrypt payloads in Temporal: one file per key, named by its id, with 32
    bytes in base64. Added keys are read without a restart."""
    encryption_key_id: str | None = Field(default=None, min_length=1)
    """Id of the key to encrypt with, the same for every role. Unset: new payloads are not encrypted, and encrypted ones
    can still be read."""

    codec_host: str = "0.0.0.0"  # noqa: S104 - a pod is reached from outside
    """Address the codec server listens on."""
    codec_port: int = Field(default=8088, ge=0, le=65535)
    """Port of the codec server."""
    codec_origins: str = ""
    """Origins of the Temporal Web UIs that may call the codec server, comma-separated: `https://temporal.example.com`.
    Empty allows none."""

    def codec_origin_list(self) -> list[str]:
        """The origins, without a trailing slash."""
        return [origin for each in self.codec_origins.split(",") if (origin := each.strip().rstrip("/"))]

    @model_validator(mode="after")
    def _key_has_a_folder(self) -> Any:
        if self.encryption_key_id is not None and self.encryption_keys_dir is None:
            raise ValueError(f"{variable('encryption_key_id')} needs {variable('encryption_keys_dir')}; set both")
        return self


class WrongAddressFile(WrongSetting):
    """The file of the database address can't be read or holds no address; the message names the file."""


class AddressFile:
    """The address of Postgres in a file, read again for each connection.

    A Secret that is mounted changes in place, so a password that was rotated is used without a restart. While the
    file can't be read, or holds no address, the last good address is used and the problem is logged once.

    Args:
        file: holds one address and nothing else.

    Raises:
        WrongAddressFile: it doesn't now.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._address = _read(file)
        self._problem = ""

    def __call__(self) -> str:
        """The address in the file now, or the last good one."""
        try:
            address = _read(self._file)
        except WrongAddressFile as error:
            if str(error) != self._problem:
                _log.error("the database address read before stays in use", problem=str(error))
            self._problem = str(error)
            return self._address
        self._problem = ""
        if address != self._address:
            _log.info("database address changed", file=str(self._file))
            self._address = address
        return address


def database_address(settings: ConnectionSettings) -> Address:
    """The address that statements go to. Raises `WrongAddressFile` where a file is set that holds none."""
    if settings.database_url_file is not None:
        return AddressFile(settings.database_url_file)
    return settings.database_url.get_secret_value


def listen_address(settings: ConnectionSettings) -> Address:
    """The address that changes are waited for at. Raises as `database_address`, which it is by default."""
    if settings.database_listen_url_file is not None:
        return AddressFile(settings.database_listen_url_file)
    if settings.database_listen_url is not None:
        return settings.database_listen_url.get_secret_value
    return database_address(settings)


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
        if len(text.splitlines()) > 1:
            raise WrongAddressFile(f"{file}: has to hold one address and nothing else")
        return _ADDRESS.validate_python(text).get_secret_value()
    except ValidationError as error:
        # The message leaves out the text of the file, which is a secret.
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise WrongAddressFile(f"{file}: {problem.removeprefix('Value error, ')}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WrongAddressFile(f"{file}: can't be read: {why}; put the address of Postgres there") from None
