"""Where Postgres and Temporal are, and how they are spoken to."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from orderfleet.domain.durations import Duration, parse_duration
from orderfleet.settings.base import Group, names, variable

_LONGEST_NAME: Final = 63

"""Bytes of a name in Postgres (NAMEDATALEN - 1)."""

_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")

"""Of one or several: a name, an address of either kind or the folder of a socket, and a port."""


def _plain_dsn(value: Any) -> Any:
    # `postgresql+asyncpg://` is SQLAlchemy's way of naming a driver; the rest is the same URL.
    return value.replace("postgresql+asyncpg://", "postgresql://", 1) if isinstance(value, str) else value


def _role(value: str) -> str:
    # Postgres cuts a longer name off without a word, and means everybody by `public`.
    if not 0 < len(value.encode()) <= _LONGEST_NAME or "\0" in value:
        raise ValueError(f"a role's name has 1 to {_LONGEST_NAME} bytes and no NUL")
    if value == "public" or value.startswith("pg_"):
        raise ValueError("the name is one of Postgres' own; name the role that the processes log in as")
    return value


def _postgres(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        good = parts.scheme in {"postgresql", "postgres"}
        good = good and all(map(_HOST.fullmatch, parts.netloc.rpartition("@")[2].split(",")))
    except ValueError:
        # Its words show a part of the address, which may be that of the password.
        good = False
    if not good:
        raise ValueError("write postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE, with %40 for an @ in the password")
    return value


def _host_and_port(value: str) -> str:
    if "://" in value:
        raise ValueError("write HOST:PORT, without a scheme; TLS is turned on by TEMPORAL_TLS")
    return value


RoleName = Annotated[str, AfterValidator(_role)]

DatabaseUrl = Annotated[SecretStr, BeforeValidator(_plain_dsn), AfterValidator(_postgres)]


class ConnectionSettings(Group):
    """Settings of the connections that more than one role has."""

    database_url: DatabaseUrl = Field(
        default=SecretStr("postgresql://orderfleet@127.0.0.1:5432/orderfleet"),
        validation_alias=names("DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the record. `postgresql+asyncpg://` is read too.",
    )
    database_url_file: Path | None = Field(
        default=None,
        description="File that holds the address of Postgres, in place of `ORDERFLEET_DATABASE_URL`. It is read again"
        " for each new connection, so a password that was rotated is used without a restart.",
    )
    database_listen_url: DatabaseUrl | None = Field(
        default=None,
        description="Where operator and API wait for changes, which takes a connection of their own: past a pooler that"
        " lends connections by transaction. Unset: the same Postgres as the rest.",
    )
    database_listen_url_file: Path | None = Field(
        default=None,
        description="File that holds that address, in place of `ORDERFLEET_DATABASE_LISTEN_URL`, and is read again in"
        " the same way.",
    )
    database_prepared_statements: bool = Field(
        default=True,
        description="Whether a statement is prepared once a connection. `false` for a pooler that lends connections by"
        " transaction and doesn't keep them (PgBouncer without `max_prepared_statements`): two round trips a call.",
    )
    database_runtime_role: RoleName | None = Field(
        default=None,
        description="Role of Postgres that workers, operator and API log in as, where another one migrates:"
        " `orderfleet migrate` gives it what they need and nothing more.",
    )
    prune_after: Duration | None = Field(
        default=None,
        gt=timedelta(0),
        description="How long after its end `orderfleet prune` removes an order's trail; unset: it has to be told.",
    )
    database_pool_size: int = Field(default=10, ge=1, description="Connections a process holds at most.")
    database_timeout: Duration = Field(
        default=parse_duration("2s"),
        gt=timedelta(0),
        description="Longest wait for a connection, and for a statement. Keep it below the steps' attempt time-outs.",
    )
    temporal_address: Annotated[str, AfterValidator(_host_and_port)] | None = Field(
        default=None,
        validation_alias=names("TEMPORAL_ADDRESS", "TEMPORAL_TARGET"),
        description="Temporal's host and port. Unset: Temporal's own `TEMPORAL_ADDRESS` and profile file decide,"
        " which also set TLS (`TEMPORAL_TLS_…`).",
    )
    temporal_namespace: str | None = Field(
        default=None, description="Temporal namespace. Unset: Temporal's own settings decide, else `default`."
    )
    temporal_api_key_file: Path | None = Field(
        default=None,
        description="File of the API key for Temporal, read again when it changes. It turns TLS on unless"
        " `TEMPORAL_TLS` says otherwise.",
    )

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
    """Settings of encryption and of the codec server."""

    encryption_keys_dir: Path | None = Field(
        default=None,
        description="Folder of the keys that what Temporal stores is encrypted and read with: a file for each,"
        " named by the key's id, with 32 bytes in base64. Keys that are added are found without a restart.",
    )
    encryption_key_id: str | None = Field(
        default=None,
        min_length=1,
        description="Id of the key to encrypt with, the same for every role; unset encrypts nothing and still reads"
        " what was encrypted.",
    )

    codec_host: str = Field(default="0.0.0.0", description="Address the codec server listens on.")  # noqa: S104 - a pod is reached from outside
    codec_port: int = Field(default=8088, ge=0, le=65535, description="Port of the codec server.")
    codec_origins: str = Field(
        default="",
        description="Origins of the Temporal Web UIs whose pages may call the codec server, comma-separated:"
        " `https://temporal.example.com`. Empty lets no page.",
    )

    def codec_origin_list(self) -> list[str]:
        """The origins, one by one."""
        return [origin for each in self.codec_origins.split(",") if (origin := each.strip().rstrip("/"))]

    @model_validator(mode="after")
    def _key_has_a_folder(self) -> Any:
        if self.encryption_key_id is not None and self.encryption_keys_dir is None:
            raise ValueError(f"{variable('encryption_key_id')} needs {variable('encryption_keys_dir')}; set both")
        return self
