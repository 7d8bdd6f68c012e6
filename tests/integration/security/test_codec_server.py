"""The codec server: with a token, Temporal's CLI reads an encrypted history through it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orderfleet.api.access import Access, UnsafeSettings
from orderfleet.api.authentication import FileAuthenticator
from orderfleet.api.codec import CodecServices, create_codec_app, run
from orderfleet.process import Stop
from orderfleet.settings import Settings
from orderfleet.temporal.connection import connect
from orderfleet.temporal.encryption import EncryptionCodec, Keys
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import ports
from support.factories import AUTO
from support.polling import eventually
from support.workflow_env import workflow_test_env

READ, OPERATE, CARRIER = (f"{role}-token-of-a-test-1" for role in ("read", "operate", "carrier"))
UI = "https://temporal.example.com"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.yaml"
    roles = {"read": READ, "operate": OPERATE, "carrier": CARRIER}
    file.write_text(yaml.safe_dump([{"name": role, "role": role, "token": token} for role, token in roles.items()]))
    return file


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "k1").write_bytes(base64.b64encode(os.urandom(32)))
    return folder


@pytest.fixture
async def caller(keys: Path, tokens: Path) -> AsyncIterator[httpx.AsyncClient]:
    services = CodecServices(Access(FileAuthenticator(tokens)), EncryptionCodec(Keys(keys, "k1")))
    transport = httpx.ASGITransport(create_codec_app(services, [UI]))
    async with httpx.AsyncClient(transport=transport, base_url="http://codec") as client:
        yield client


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def payloads(text: str) -> dict[str, Any]:
    encoding = base64.b64encode(b"json/plain").decode()
    return {"payloads": [{"metadata": {"encoding": encoding}, "data": base64.b64encode(text.encode()).decode()}]}


@pytest.mark.slow
async def test_temporal_cli_reads_an_encrypted_history_with_a_token_only(
    temporal_address: str, postgres_url: str, task_queues: Any, keys: Path, tokens: Path, tmp_path: Path
) -> None:
    encrypted_settings = Settings(temporal_address=temporal_address, encryption_keys_dir=keys, encryption_key_id="k1")
    async with workflow_test_env(
        await connect(encrypted_settings), postgres_url, task_queues.orders, task_queues.shipping
    ) as running:
        handle = await running.start(running.order("codec-1", review=AUTO))
        await handle.result()
    port = ports.choose(0)
    environment = {
        "ORDERFLEET_CODEC_HOST": "127.0.0.1",
        "ORDERFLEET_CODEC_PORT": str(port),
        "ORDERFLEET_ENCRYPTION_KEYS_DIR": str(keys),
        "ORDERFLEET_API_AUTH": "tokens",
        "ORDERFLEET_API_TOKENS_FILE": str(tokens),
    }
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orderfleet", "codec", env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await eventually(lambda: _healthy(url), bool, 60)
        command = (
            *(str(provide(["temporal"])["temporal"]), "workflow", "show", "-w", handle.id, "--output", "json"),
            *("--address", temporal_address, "--codec-endpoint", url),
        )
        shown = await _output(*command, HOME=str(tmp_path), TEMPORAL_CODEC_AUTH=f"Bearer {READ}")
        assert "1 Main St" in shown
        hidden = await _output(*command, HOME=str(tmp_path))
        assert "1 Main St" not in hidden
    finally:
        server.terminate()
        _, log = await asyncio.wait_for(server.communicate(), 60)
    assert server.returncode == 0
    assert b"/decode" in log
    assert b"Main St" not in log


async def _healthy(url: str) -> bool:
    async with httpx.AsyncClient() as caller:
        try:
            return (await caller.get(f"{url}/healthz")).status_code == 200
        except httpx.TransportError:
            return False


async def _output(*command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), 60)
    text = stdout.decode()
    # Payloads in the JSON output are JSON or base64.
    return text + "".join(_texts(json.loads(text))) if text.lstrip().startswith("{") else text


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [base64.b64decode(value["data"]).decode("utf-8", "replace")] if isinstance(value.get("data"), str) else []
        return [*own, *(text for each in value.values() for text in _texts(each))]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return []


async def test_decode_reverses_encode(caller: httpx.AsyncClient) -> None:
    encrypted = await caller.post("/encode", json=payloads("1 Main St"), headers=as_(OPERATE))
    assert base64.b64decode(encrypted.json()["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
    decrypted = await caller.post("/decode", content=encrypted.content, headers={**as_(READ), "X-Namespace": "default"})
    assert decrypted.json() == payloads("1 Main St")


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/decode", None, 401),
        ("/decode", "some-other-token-of-a-test", 401),
        ("/decode", CARRIER, 403),
        ("/encode", READ, 403),
    ],
)
async def test_caller_without_the_role_is_rejected(
    caller: httpx.AsyncClient, path: str, token: str | None, status: int
) -> None:
    answer = await caller.post(path, json=payloads("1"), headers=as_(token) if token else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_payload_of_an_unknown_key_is_422(caller: httpx.AsyncClient) -> None:
    named = {"encoding": b"binary/encrypted", "encryption-key-id": b"k9"}
    payload = {
        "metadata": {name: base64.b64encode(value).decode() for name, value in named.items()},
        "data": "AAAA",
    }
    answer = await caller.post("/decode", json={"payloads": [payload]}, headers=as_(READ))
    assert answer.status_code == 422
    assert "encrypted with the key 'k9'" in answer.json()["detail"]


async def test_malformed_body_is_not_quoted(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/decode", content=b'{"payloads": "1 Main St"}', headers=as_(READ))
    assert answer.status_code == 422
    assert "Main" not in answer.text


@pytest.mark.parametrize(("origin", "allowed"), [(UI, True), ("https://elsewhere.example.com", False)])
async def test_pages_of_the_configured_origin_may_call(caller: httpx.AsyncClient, origin: str, allowed: bool) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    answer = await caller.options("/decode", headers=asked)
    assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
    called = await caller.post("/decode", json=payloads("1"), headers={**as_(READ), "Origin": origin})
    assert (called.headers.get("access-control-allow-origin") == origin) is allowed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_auth": "tokens"}, "ORDERFLEET_ENCRYPTION_KEYS_DIR isn't set"),
        ({"api_auth": "none", "encryption_keys_dir": "."}, "ORDERFLEET_API_AUTH is none"),
        ({"encryption_keys_dir": "."}, "ORDERFLEET_API_AUTH isn't set"),
    ],
)
async def test_server_without_keys_or_authentication_does_not_start(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UnsafeSettings, match=message):
        await run(Settings(**settings), Stop())
