"""Payloads that any client of Temporal can send, of every encoding, and a client that sends them as they are."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.converter import DataConverter, PayloadConverter

from orderfleet.temporal.data_converter import UNDECRYPTABLE
from orderfleet.temporal.encryption import ENCODING, KEY_ID

KEY = "k1"
TRACE_HEADER = "_tracer-data"

_HUGE = b"9" * 4_299
DATA: Mapping[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "true": b"true",
    "number": b"7",
    "list": b'[1, ["two"]]',
    "empty-object": b"{}",
    "ill-typed": b'{"order_id": {"a": []}, "request": "x", "street": [], "reason": {}, "generation": -1}',
    "huge-numbers": b'{"generation": %s, "request": %s, "shipments": %s}' % (_HUGE, _HUGE, _HUGE),
    "not-finite": b'{"generation": NaN, "request": Infinity, "reason": -Infinity}',
    "half-surrogate": b'{"reason": "\\ud800", "street": "\\udfff"}',
    "half-surrogate-text": b'"\\ud800"',
    "not-utf-8": b'"\xff\xfe"',
    "truncated": b'{"reason": ',
    "nested": b"[" * 5_000 + b"]" * 5_000,
    "nested-a-little": b'{"reason": %s}' % (b"[" * 150 + b"]" * 150),
    "too-many-digits": b"1" * 4_400,
    "nul": b'{"reason": "a\\u0000b", "shipment_id": "\\u0000"}',
}
ENCODINGS = (
    b"json/plain",
    b"json/protobuf",
    b"binary/null",
    b"binary/plain",
    b"binary/protobuf",
    b"binary/unknown",
    b"\xff\xfe",
    UNDECRYPTABLE,
)


def write_key(folder: Path) -> AESGCM:
    """Write the key that the fleet encrypts with."""
    key = os.urandom(32)
    (folder / KEY).write_bytes(base64.b64encode(key))
    return AESGCM(key)


def payloads(key: AESGCM) -> Iterator[tuple[str, Payload]]:
    """Every payload, by name."""
    for encoding in ENCODINGS:
        for name, data in DATA.items():
            yield (
                f"{encoding.decode('ascii', 'backslashreplace')} {name}",
                Payload(metadata={"encoding": encoding}, data=data),
            )
    yield "no encoding", Payload(data=b"7")
    yield (
        "a message of protobuf",
        Payload(metadata={"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.Payload"}, data=b"{}"),
    )
    yield (
        "an unknown message of protobuf",
        Payload(metadata={"encoding": b"binary/protobuf", "messageType": b"no.such.Message"}, data=b"\x08"),
    )
    for name, data in DATA.items():
        yield f"another tag, {name}", _encrypted(KEY, data)
    sealed = os.urandom(12)
    yield (
        "no payload inside",
        _encrypted(KEY, sealed + key.encrypt(sealed, b"\xff\xff", b"orderfleet payload 1:" + KEY.encode())),
    )
    yield "no key's id", _encrypted("../k1", b"x" * 40)


def _encrypted(key_id: str, data: bytes) -> Payload:
    return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id.encode()}, data=data)


class AsGiven(PayloadConverter):
    """Sends payloads as they are, and hands on those that come back."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        return [
            value if isinstance(value, Payload) else DataConverter.default.payload_converter.to_payload(value)
            for value in values
        ]

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        return list(payloads)


class _Headers(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, headers: Mapping[str, Payload]) -> None:
        super().__init__(following)
        self._headers = headers

    async def start_workflow(self, input: Any) -> Any:  # noqa: A002 - temporalio's name
        input.headers = self._headers
        return await super().start_workflow(input)

    async def signal_workflow(self, input: Any) -> None:  # noqa: A002 - temporalio's name
        input.headers = self._headers
        await super().signal_workflow(input)

    async def query_workflow(self, input: Any) -> Any:  # noqa: A002 - temporalio's name
        input.headers = self._headers
        return await super().query_workflow(input)

    async def start_workflow_update(self, input: Any) -> Any:  # noqa: A002 - temporalio's name
        input.headers = self._headers
        return await super().start_workflow_update(input)


class _With(Interceptor):
    def __init__(self, headers: Mapping[str, Payload]) -> None:
        self._headers = headers

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - temporalio's name
        return _Headers(next, self._headers)


async def raw_client(address: str, headers: Mapping[str, Payload] | None = None) -> Client:
    """A client that sends payloads as they are, each call with the same headers."""
    converter = DataConverter(payload_converter_class=AsGiven)
    interceptors = [_With(headers)] if headers else []
    return await Client.connect(address, data_converter=converter, interceptors=interceptors)
