"""Encrypts payloads (AES-256-GCM) with keys from a folder that has one file per key.

A file is read when its key is first needed, and again when a payload can't be decrypted. So a key that is added or
replaced is used without a restart. A key must never be logged.
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
    """The active key can't be read; the message names the file and says what to do."""


class Keys:
    """Keys by id.

    Args:
        folder: of the files; each is named by its key's id and has 32 bytes in base64. None has no keys.
        active: id of the key to encrypt with; None encrypts nothing.

    Raises:
        WrongKeys: the file of the active key is missing or invalid.
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
        """Yield the cached key of an id, then the key in its file if that changed.

        Raises:
            PayloadNotOurs: there is no folder of keys, or the id is not valid for a key.
            PayloadDecryptionError: the file is missing or invalid.
        """
        cached = self._read.get(key_id)
        if cached is not None:
            yield cached[1]
        key = self._from_file(key_id)
        if cached is None or cached[0] != key:
            self._read[key_id] = key, AESGCM(key)
            yield self._read[key_id][1]

    def _from_file(self, key_id: str) -> bytes:
        if self._folder is None:
            raise PayloadNotOurs(
                f"there are no keys; set ORDERFLEET_ENCRYPTION_KEYS_DIR to a folder that has {key_id!r}"
            )
        # Any client can write the payload that the id comes from.
        if not _ID.fullmatch(key_id):
            raise PayloadNotOurs(
                "its id is not valid for a key; ids have letters, digits, dots, dashes and underscores"
            )
        file = self._folder / key_id
        try:
            key = base64.b64decode(file.read_bytes().strip(), validate=True)
        except OSError as error:
            raise PayloadDecryptionError(f"{file} can't be read: {error.strerror}; write that key into it") from None
        except binascii.Error:
            raise PayloadDecryptionError(
                f"{file} is not base64; write `openssl rand -base64 {LENGTH}` into a new one"
            ) from None
        if len(key) != LENGTH:
            raise PayloadDecryptionError(
                f"{file} has {len(key)} bytes where a key has {LENGTH}; write the right key into it"
            )
        return key


ENCODING: Final = b"binary/encrypted"
"""The encoding of Temporal's samples, which its Web UI recognizes."""

KEY_ID: Final = "encryption-key-id"

_NONCE_LENGTH: Final = 12

_ASSOCIATED_DATA: Final = b"orderfleet payload 1:"
"""Authenticated with the key's id: other data that the key encrypted is not accepted as a payload."""


class EncryptionCodec(PayloadCodec):
    """Encrypts with the active key, if there is one; decrypts with the key that a payload names.

    Args:
        keys: by id.
        of_worker: mark a payload that no key can decrypt, instead of raising. Any client that can signal a workflow
            can send one, and a codec that raises fails the workflow task.
    """

    def __init__(self, keys: Keys, *, of_worker: bool = False) -> None:
        self._keys = keys
        self._of_worker = of_worker

    def for_worker(self) -> EncryptionCodec:
        """Return a worker's codec with the same keys."""
        return EncryptionCodec(self._keys, of_worker=True)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, metadata included."""
        if self._keys.active is None:
            return list(payloads)
        key_id, cipher = self._keys.active
        return [_encrypted(payload, key_id.encode(), cipher) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt each encrypted payload; return the others unchanged.

        Raises:
            PayloadNotOurs: no key can decrypt it. A worker's codec marks the payload instead.
            PayloadDecryptionError: the key's file is missing or invalid.
        """
        return [
            self._decoded(payload) if payload.metadata.get("encoding") == ENCODING else payload for payload in payloads
        ]

    def _decoded(self, payload: Payload) -> Payload:
        try:
            return self._decrypted(payload)
        except PayloadNotOurs as error:
            if not self._of_worker:
                raise
            return Payload(metadata={"encoding": UNDECRYPTABLE}, data=str(error).encode())

    def _decrypted(self, payload: Payload) -> Payload:
        named = payload.metadata.get(KEY_ID, b"")
        key_id = named.decode("utf-8", "replace")
        nonce, ciphertext = payload.data[:_NONCE_LENGTH], payload.data[_NONCE_LENGTH:]
        try:
            for cipher in self._keys.of(key_id):
                with suppress(InvalidTag, DecodeError, ValueError):
                    return Payload.FromString(cipher.decrypt(nonce, ciphertext, _ASSOCIATED_DATA + named))
        except PayloadDecryptionError as error:
            raise type(error)(f"the payload is encrypted with the key {key_id!r}: {error}") from None
        raise PayloadNotOurs(
            f"the key {key_id!r} doesn't decrypt the payload: it was encrypted with another key of that id;"
            " restore that key, and give a new key a new id"
        )


def _encrypted(payload: Payload, key_id: bytes, cipher: AESGCM) -> Payload:
    nonce = os.urandom(_NONCE_LENGTH)
    return Payload(
        metadata={"encoding": ENCODING, KEY_ID: key_id},
        data=nonce + cipher.encrypt(nonce, payload.SerializeToString(), _ASSOCIATED_DATA + key_id),
    )


def data_converter(settings: Settings) -> DataConverter:
    """Return the converter that the settings choose; with a key it encrypts messages and stack traces of failures too.

    Raises:
        WrongKeys: the active key can't be read.
    """
    keys = Keys(settings.encryption_keys_dir, settings.encryption_key_id)
    return dataclasses.replace(
        DATA_CONVERTER,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=EncryptedFailureConverter if keys.active else BoundedFailureConverter,
    )


def for_worker(converter: DataConverter) -> DataConverter:
    """Return a worker's converter, which converts an invalid payload to an `Unreadable` where a client's raises.

    A payload whose key is missing still raises: the installation is incomplete, and the payload may be valid.
    """
    codec = converter.payload_codec
    return dataclasses.replace(
        converter,
        payload_converter_class=WorkerPayloadConverter,
        payload_codec=codec.for_worker() if isinstance(codec, EncryptionCodec) else codec,
    )
