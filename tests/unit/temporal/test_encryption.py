"""Keys in a folder, and payloads that they encrypt."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload

from orderfleet.domain.errors import PayloadDecryptionError
from orderfleet.settings import Settings
from orderfleet.temporal.encryption import KEY_ID, EncryptionCodec, Keys, WrongKeys, data_converter

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"1 Main St"')


def write(folder: Path, key_id: str) -> None:
    (folder / key_id).write_bytes(base64.b64encode(os.urandom(32)) + b"\n")


async def encrypted(folder: Path, key_id: str) -> Payload:
    return (await EncryptionCodec(Keys(folder, key_id)).encode([PLAIN]))[0]


async def test_encrypted_payload_shows_only_its_key_id(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    codec = EncryptionCodec(Keys(tmp_path, "k1"))
    first, second = await codec.encode([PLAIN, PLAIN])
    assert dict(first.metadata) == {"encoding": b"binary/encrypted", KEY_ID: b"k1"}
    assert b"Main" not in first.SerializeToString()
    assert first.data != second.data, "the same content must not look the same"
    assert await codec.decode([first, second, PLAIN]) == [PLAIN, PLAIN, PLAIN]


async def test_codec_without_an_active_key_decrypts_with_the_other_keys(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    reader = EncryptionCodec(Keys(tmp_path, None))
    assert await reader.encode([PLAIN]) == [PLAIN]
    assert await reader.decode([await encrypted(tmp_path, "k1")]) == [PLAIN]


async def test_added_key_is_read_without_restart(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    running = EncryptionCodec(Keys(tmp_path, "k1"))
    write(tmp_path, "k2")
    assert await running.decode([await encrypted(tmp_path, "k2")]) == [PLAIN]


async def test_replaced_key_file_decrypts_after_an_error(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    right, payload = (tmp_path / "k1").read_bytes(), await encrypted(tmp_path, "k1")
    write(tmp_path, "k1")
    codec = EncryptionCodec(Keys(tmp_path, "k1"))
    for _ in range(2):
        with pytest.raises(PayloadDecryptionError, match="the key 'k1' doesn't decrypt the payload"):
            await codec.decode([payload])
    (tmp_path / "k1").write_bytes(right)
    assert await codec.decode([payload]) == [PLAIN]


async def test_modified_payload_is_not_decrypted(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    (tmp_path / "k2").write_bytes((tmp_path / "k1").read_bytes())
    payload = await encrypted(tmp_path, "k1")
    codec = EncryptionCodec(Keys(tmp_path, "k1"))
    truncated = Payload(metadata=payload.metadata, data=payload.data[:9])
    flipped = Payload(metadata=payload.metadata, data=payload.data[:-1] + bytes([payload.data[-1] ^ 1]))
    renamed = Payload(metadata={**payload.metadata, KEY_ID: b"k2"}, data=payload.data)
    for wrong in (truncated, flipped, renamed):
        with pytest.raises(PayloadDecryptionError, match="doesn't decrypt"):
            await codec.decode([wrong])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"k1 can't be read: No such file or directory; write that key into it"),
        (b"no base64!", r"k1 is not base64; write `openssl rand -base64 32`"),
        (base64.b64encode(b"short"), "k1 has 5 bytes where a key has 32"),
    ],
)
async def test_invalid_key_file_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    write(tmp_path, "k1")
    payload = await encrypted(tmp_path, "k1")
    (tmp_path / "k1").unlink() if content is None else (tmp_path / "k1").write_bytes(content)
    with pytest.raises(PayloadDecryptionError, match=message):
        await EncryptionCodec(Keys(tmp_path, None)).decode([payload])
    with pytest.raises(WrongKeys, match=f"ORDERFLEET_ENCRYPTION_KEY_ID is 'k1': .*{message}"):
        data_converter(Settings(encryption_keys_dir=tmp_path, encryption_key_id="k1"))


async def test_key_id_with_a_path_is_rejected(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    (tmp_path / "inner").mkdir()
    payload = await encrypted(tmp_path, "k1")
    payload.metadata[KEY_ID] = b"../k1"
    with pytest.raises(PayloadDecryptionError, match="its id is not valid for a key"):
        await EncryptionCodec(Keys(tmp_path / "inner", None)).decode([payload])


async def test_codec_without_keys_rejects_encrypted_payloads(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    payload = await encrypted(tmp_path, "k1")
    with pytest.raises(PayloadDecryptionError, match="set ORDERFLEET_ENCRYPTION_KEYS_DIR to a folder that has 'k1'"):
        await data_converter(Settings()).decode([payload])


def test_key_id_without_a_folder_is_rejected() -> None:
    with pytest.raises(ValidationError, match="ORDERFLEET_ENCRYPTION_KEY_ID needs ORDERFLEET_ENCRYPTION_KEYS_DIR"):
        Settings(encryption_key_id="k1")
