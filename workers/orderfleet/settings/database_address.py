"""The address of Postgres as the settings give it: a value, or a file that may change while the process runs.

An address holds a password, so it must never be in a log or in the message of an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError

from orderfleet.domain.errors import WrongSetting
from orderfleet.settings import Settings
from orderfleet.settings.connections import DatabaseUrl

_log = structlog.get_logger()
_ADDRESS: Final[TypeAdapter[SecretStr]] = TypeAdapter(DatabaseUrl)

Address: TypeAlias = Callable[[], str]
"""Returns the address for a connection that is opened now."""


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


def database_address(settings: Settings) -> Address:
    """The address that statements go to. Raises `WrongAddressFile` where a file is set that holds none."""
    if settings.database_url_file is not None:
        return AddressFile(settings.database_url_file)
    return settings.database_url.get_secret_value


def listen_address(settings: Settings) -> Address:
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
