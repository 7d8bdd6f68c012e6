"""TLS and API keys to Temporal: with valid ones an order ships, invalid ones give a clear error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from orderfleet.domain.status import Step
from orderfleet.settings import Settings
from orderfleet.temporal.connection import WrongCredentials, connect, connect_with_retry, reload_credentials
from orderfleet_local.stack.certificates import Certificates
from support.factories import AUTO
from support.polling import eventually
from support.tls_proxy import tls_proxy
from support.workflow_env import workflow_test_env

CA, CERT, KEY, NAME = (
    f"TEMPORAL_TLS_{name}" for name in ("SERVER_CA_CERT_PATH", "CLIENT_CERT_PATH", "CLIENT_KEY_PATH", "SERVER_NAME")
)


def use_certificates(
    monkeypatch: pytest.MonkeyPatch, trusted: Certificates, own: Certificates | None = None, **more: str
) -> None:
    monkeypatch.setenv(CA, str(trusted.file("ca.crt")))
    if own is not None:
        monkeypatch.setenv(CERT, str(own.file("admin.crt")))
        monkeypatch.setenv(KEY, str(own.file("admin.key")))
    for name, value in more.items():
        monkeypatch.setenv(name, value)


async def test_order_ships_over_mutual_tls(
    temporal_address: str, postgres_url: str, task_queues: Any, own_ca: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_certificates(monkeypatch, own_ca, own_ca)
    async with tls_proxy(temporal_address, own_ca, client_certificates=own_ca) as address:
        temporal = await connect(Settings(temporal_address=address))
        async with workflow_test_env(temporal, postgres_url, task_queues.orders, task_queues.shipping) as running:
            handle = await running.start(running.order("tls-1", review=AUTO))
            assert (await handle.result()).step is Step.SHIPPED


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("another authority", f"Temporal's certificate isn't by an authority that {CA} holds"),
        ("another name", f"Temporal's certificate is for another name; set {NAME} to one it has"),
        ("no client certificate", f"certificate of an authority it trusts ({CERT})"),
        ("a client certificate of another authority", f"certificate of an authority it trusts ({CERT})"),
        ("no private key", f"{KEY} holds no private key that fits"),
    ],
)
async def test_tls_error_is_logged_and_retried(
    temporal_address: str,
    own_ca: Certificates,
    other_ca: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    message: str,
) -> None:
    match case:
        case "another authority":
            use_certificates(monkeypatch, other_ca, own_ca)
        case "another name":
            use_certificates(monkeypatch, own_ca, own_ca, **{NAME: "elsewhere.example"})
        case "no client certificate":
            use_certificates(monkeypatch, own_ca)
        case "a client certificate of another authority":
            use_certificates(monkeypatch, own_ca, other_ca)
        case "no private key":
            use_certificates(monkeypatch, own_ca, own_ca, **{KEY: str(own_ca.file("ca.crt"))})
    async with tls_proxy(temporal_address, own_ca, client_certificates=own_ca) as address:
        with structlog.testing.capture_logs() as lines:
            waiting = asyncio.create_task(connect_with_retry(Settings(temporal_address=address)))

            async def errors() -> str:
                return " ".join(line["error"] for line in lines)

            text = await eventually(errors, bool, 30)
            assert not waiting.done(), "the connection must be retried: the server may be repaired"
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    assert message in text


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({CA: "/nowhere/ca.crt"}, "/nowhere/ca.crt: can't be read: No such file or directory"),
        ({CERT: __file__}, f"{CERT} and {KEY} go together"),
    ],
)
async def test_missing_credential_file_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongCredentials, match=message):
        await connect(Settings())


class AuthorizationRecorder(grpc.GenericRpcHandler):
    """A server that records the `authorization` header of each call."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def service(self, call: Any) -> Any:
        self.received.append(dict(call.invocation_metadata).get("authorization", ""))
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")


@pytest.fixture
def recorder(own_ca: Certificates) -> Iterator[tuple[AuthorizationRecorder, str]]:
    handler = AuthorizationRecorder()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    pair = own_ca.file("server.key").read_bytes(), own_ca.file("server.crt").read_bytes()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None).wait()


async def test_api_key_is_reloaded_when_its_file_changes(
    recorder: tuple[AuthorizationRecorder, str],
    own_ca: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_certificates(monkeypatch, own_ca)
    handler, address = recorder
    file = tmp_path / "key"
    file.write_text("first\n")
    monkeypatch.setattr("orderfleet.temporal.connection.CHECK_INTERVAL", 0.05)
    settings = Settings(temporal_address=address, temporal_api_key_file=file)
    client = await connect(settings)

    async def presented() -> str:
        await client.workflow_service.get_system_info(GetSystemInfoRequest())
        return handler.received[-1]

    async with reload_credentials(client, settings):
        assert await presented() == "Bearer first"
        file.write_text("")
        file.write_text("second\n")
        await eventually(presented, lambda key: key == "Bearer second", 30)


@pytest.mark.parametrize(("content", "message"), [(None, "can't be read"), ("one two", "one API key and nothing else")])
async def test_unusable_api_key_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(WrongCredentials, match=message):
        await connect(Settings(temporal_api_key_file=file))
