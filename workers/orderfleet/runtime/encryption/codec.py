"""Payloads encrypted on their way to Temporal and back: AES-256-GCM (NIST SP 800-38D), key id in the metadata.

Workers and clients use it through `data_converter`, the codec server directly. It is there also
where nothing is encrypted: a process that can't open a payload must fail aloud, because the SDK
drops a signal whose content it can't read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from orderfleet.contracts.errors import PayloadNotOurs, PayloadSealed
from orderfleet.runtime.converter import UNOPENED
from orderfleet.runtime.encryption.keys import Keys

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
            return Payload(metadata={"encoding": UNOPENED}, data=str(error).encode())

    def _opened(self, payload: Payload) -> Payload:
        named = payload.metadata.get(KEY_ID, b"")
        key_id = named.decode("utf-8", "replace")
        nonce, sealed = payload.data[:_NONCE], payload.data[_NONCE:]
        try:
            for cipher in self._keys.of(key_id):
                with suppress(InvalidTag, DecodeError, ValueError):
                    return Payload.FromString(cipher.decrypt(nonce, sealed, _BOUND + named))
        except PayloadSealed as error:
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
