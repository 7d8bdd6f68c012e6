"""The keys that payloads are encrypted with, from a folder with a file for each.

The codec asks for them by id. A file is read when its key is first needed and again when a payload
doesn't open, so a key that is added or put right is found without a restart. A key must never be logged.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, PayloadCodec

from orderfleet.domain.errors import PayloadDecryptionError, PayloadNotOurs, WrongSetting
from orderfleet.settings import Settings
from orderfleet.temporal.data_converter import (
    DATA_CONVERTER,
    UNDECRYPTABLE,
    BoundedFailureConverter,
    EncryptedFailureConverter,
    WorkerPayloadConverter,
)

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
            except PayloadDecryptionError as error:
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
            raise PayloadDecryptionError(f"{file} can't be read: {error.strerror}; put that key there") from None
        except binascii.Error:
            raise PayloadDecryptionError(
                f"{file} is not base64; write `openssl rand -base64 {LENGTH}` into a new one"
            ) from None
        if len(key) != LENGTH:
            raise PayloadDecryptionError(
                f"{file} has {len(key)} bytes where a key has {LENGTH}; put the right key there"
            )
        return key


ENCODING: Final = b"binary/encrypted"

"""As Temporal's own samples name it, so that its Web UI knows what it sees."""

KEY_ID: Final = "encryption-key-id"

_NONCE: Final = 12

_BOUND: Final = b"orderfleet payload 1:"

"""What is authenticated beside the payload, with the key's id: nothing else that the key sealed passes for one."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the active key, if there is one; decrypts with whichever key a payload names.

    Args:
        keys: to do it with.
        of_worker: mark a payload that no key will open, instead of raising. Every client that may signal a
            workflow may send one, and what a codec raises fails the workflow task.
    """

    def __init__(self, keys: Keys, *, of_worker: bool = False) -> None:
        self._keys = keys
        self._of_worker = of_worker

    def for_worker(self) -> EncryptionCodec:
        """The codec of a worker, with the same keys."""
        return EncryptionCodec(self._keys, of_worker=True)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, metadata included."""
        if self._keys.active is None:
            return list(payloads)
        key_id, cipher = self._keys.active
        return [_sealed(payload, key_id.encode(), cipher) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt each payload that is encrypted; the others are as they were.

        Raises:
            PayloadNotOurs: no key will open it; a worker's codec marks the payload instead.
            PayloadSealed: the key isn't there, or its file can't be read.
        """
        return [
            self._decoded(payload) if payload.metadata.get("encoding") == ENCODING else payload for payload in payloads
        ]

    def _decoded(self, payload: Payload) -> Payload:
        try:
            return self._opened(payload)
        except PayloadNotOurs as error:
            if not self._of_worker:
                raise
            return Payload(metadata={"encoding": UNDECRYPTABLE}, data=str(error).encode())

    def _opened(self, payload: Payload) -> Payload:
        named = payload.metadata.get(KEY_ID, b"")
        key_id = named.decode("utf-8", "replace")
        nonce, sealed = payload.data[:_NONCE], payload.data[_NONCE:]
        try:
            for cipher in self._keys.of(key_id):
                with suppress(InvalidTag, DecodeError, ValueError):
                    return Payload.FromString(cipher.decrypt(nonce, sealed, _BOUND + named))
        except PayloadDecryptionError as error:
            raise type(error)(f"the payload is encrypted with the key {key_id!r}: {error}") from None
        raise PayloadNotOurs(
            f"the key {key_id!r} at hand doesn't open the payload: it was encrypted with another one of that id;"
            " put that one back, and give a new key a new id"
        )


def _sealed(payload: Payload, key_id: bytes, cipher: AESGCM) -> Payload:
    nonce = os.urandom(_NONCE)
    return Payload(
        metadata={"encoding": ENCODING, KEY_ID: key_id},
        data=nonce + cipher.encrypt(nonce, payload.SerializeToString(), _BOUND + key_id),
    )


def data_converter(settings: Settings) -> DataConverter:
    """The converter as the settings say; with a key, messages and stack traces of failures are encrypted too.

    Raises:
        WrongKeys: the key to encrypt with can't be read.
    """
    keys = Keys(settings.encryption_keys_dir, settings.encryption_key_id)
    return dataclasses.replace(
        DATA_CONVERTER,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=EncryptedFailureConverter if keys.active else BoundedFailureConverter,
    )


def for_worker(converter: DataConverter) -> DataConverter:
    """The converter of a worker: one that hands on what it can't read as an `Unreadable`, where a client's raises.

    A payload whose key is missing still raises: it is a matter of the installation, not of what was sent.
    """
    codec = converter.payload_codec
    return dataclasses.replace(
        converter,
        payload_converter_class=WorkerPayloadConverter,
        payload_codec=codec.for_worker() if isinstance(codec, EncryptionCodec) else codec,
    )
