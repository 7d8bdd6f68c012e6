"""The keys that payloads are encrypted with, from a folder with a file for each.

The codec asks for them by id. A file is read when its key is first needed and again when a payload
doesn't open, so a key that is added or put right is found without a restart. A key must never be logged.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orderfleet.contracts.errors import PayloadNotOurs, PayloadSealed, WrongSetting

LENGTH: Final = 32
"""Bytes of a key: AES-256."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class WrongKeys(WrongSetting):
    """The key to encrypt with can't be read; the message names the file and what to do."""


class Keys:
    """Keys by id.

    Args:
        folder: of the files, each named by its key's id and holding 32 bytes in base64; None has no keys.
        active: id of the key to encrypt with; None encrypts nothing.

    Raises:
        WrongKeys: there is no good file of the active key.
    """

    def __init__(self, folder: Path | None, active: str | None) -> None:
        self._folder = folder
        self._read: dict[str, tuple[bytes, AESGCM]] = {}
        self.active: tuple[str, AESGCM] | None = None
        if active is not None:
            try:
                self.active = active, next(self.of(active))
            except PayloadSealed as error:
                raise WrongKeys(f"ORDERFLEET_ENCRYPTION_KEY_ID is {active!r}: {error}") from None

    def of(self, key_id: str) -> Iterator[AESGCM]:
        """The key of this id; then, for a caller that the first didn't serve, the one in a file that changed.

        Raises:
            PayloadNotOurs: there are no keys at all, or no key has such an id.
            PayloadSealed: it is missing, or its file can't be read.
        """
        known = self._read.get(key_id)
        if known is not None:
            yield known[1]
        key = self._from_file(key_id)
        if known is None or known[0] != key:
            self._read[key_id] = key, AESGCM(key)
            yield self._read[key_id][1]

    def _from_file(self, key_id: str) -> bytes:
        if self._folder is None:
            raise PayloadNotOurs(
                f"there are no keys; set ORDERFLEET_ENCRYPTION_KEYS_DIR to a folder that has {key_id!r}"
            )
        # An id may come from a payload that anybody wrote.
        if not _ID.fullmatch(key_id):
            raise PayloadNotOurs("its id is not one of a key; ids have letters, digits, dots, dashes and underscores")
        file = self._folder / key_id
        try:
            key = base64.b64decode(file.read_bytes().strip(), validate=True)
        except OSError as error:
            raise PayloadSealed(f"{file} can't be read: {error.strerror}; put that key there") from None
        except binascii.Error:
            raise PayloadSealed(f"{file} is not base64; write `openssl rand -base64 {LENGTH}` into a new one") from None
        if len(key) != LENGTH:
            raise PayloadSealed(f"{file} has {len(key)} bytes where a key has {LENGTH}; put the right key there")
        return key
