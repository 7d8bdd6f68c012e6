"""A worker's data converter returns an unreadable payload as `Unreadable` with the reason; a client's raises."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from orderfleet.domain.errors import PayloadDecryptionError, PayloadNotOurs
from orderfleet.domain.inputs import Unreadable
from orderfleet.domain.order import OrderInput
from orderfleet.settings import Settings
from orderfleet.temporal.data_converter import DATA_CONVERTER
from orderfleet.temporal.encryption import KEY_ID, data_converter, for_worker

ORDER = OrderInput(order_id="o-1")
SURROGATE = Payload(metadata={"encoding": b"json/plain"}, data=b'"\\ud800"')


def write(folder: Path, key_id: str) -> None:
    (folder / key_id).write_bytes(base64.b64encode(os.urandom(32)))


async def test_unreadable_payload_leaves_the_others_unchanged() -> None:
    (good,) = await DATA_CONVERTER.encode([ORDER])
    first, broken, last = await for_worker(DATA_CONVERTER).decode([good, SURROGATE, good], [OrderInput] * 3)
    assert first == last == ORDER
    assert isinstance(broken, Unreadable)
    assert "hex escape" in broken.reason
    with pytest.raises(ValueError, match="hex escape"):
        await DATA_CONVERTER.decode([SURROGATE])


async def test_invalid_value_names_its_field_without_its_content() -> None:
    (payload,) = await DATA_CONVERTER.encode([{"order_id": "a secret"}])
    (broken,) = await for_worker(DATA_CONVERTER).decode([payload], [OrderInput])
    assert isinstance(broken, Unreadable)
    assert broken.reason.startswith("order_id: has to be 1 to 128 letters")
    assert "secret" not in broken.reason


@pytest.mark.parametrize("encoding", [b"binary/unknown", b"\xff\xfe", b""])
async def test_unknown_encoding_is_named(encoding: bytes) -> None:
    (broken,) = await for_worker(DATA_CONVERTER).decode([Payload(metadata={"encoding": encoding})])
    assert isinstance(broken, Unreadable)
    assert "unknown encoding" in broken.reason


async def test_undecryptable_payload_is_unreadable_in_a_worker_and_an_error_in_a_client(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    ours = data_converter(Settings(encryption_keys_dir=tmp_path, encryption_key_id="k1"))
    (payload,) = await ours.encode([ORDER])
    assert await for_worker(ours).decode([payload], [OrderInput]) == [ORDER]
    flipped = Payload(metadata=payload.metadata, data=payload.data[:-1] + bytes([payload.data[-1] ^ 1]))
    renamed = Payload(metadata={**payload.metadata, KEY_ID: b"../k1"}, data=payload.data)
    for converter, wrong in ((ours, flipped), (ours, renamed), (data_converter(Settings()), payload)):
        with pytest.raises(PayloadNotOurs):
            await converter.decode([wrong])
        (broken,) = await for_worker(converter).decode([wrong])
        assert isinstance(broken, Unreadable)
        assert broken.encrypted


async def test_missing_key_raises_in_a_worker(tmp_path: Path) -> None:
    write(tmp_path, "k1")
    (payload,) = await data_converter(Settings(encryption_keys_dir=tmp_path, encryption_key_id="k1")).encode([ORDER])
    (tmp_path / "k1").unlink()
    with pytest.raises(PayloadDecryptionError, match="k1 can't be read") as missing:
        await for_worker(data_converter(Settings(encryption_keys_dir=tmp_path))).decode([payload])
    assert not isinstance(missing.value, PayloadNotOurs)
