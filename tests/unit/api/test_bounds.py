"""Limits of connections and requests, with clients on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from orderfleet.api.access import Access
from orderfleet.api.app import create_app
from orderfleet.api.authentication import FileAuthenticator
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.api.serve import serve
from orderfleet.process import Stop, open_port
from orderfleet.settings import Settings
from support.no_orders import NoOrders

TOKEN = "operator-token-of-the-tests"
AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"
SHORT, LONG = "400ms", "60s"
SECONDS = 30


@pytest.fixture
def access(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(json.dumps([{"name": "operator", "role": "operate", "token": TOKEN}]))
    return Access(FileAuthenticator(path))


@asynccontextmanager
async def api(
    access: Access, read_timeout: str = LONG, connections: int = 100, write_timeout: str = LONG
) -> AsyncIterator[int]:
    """Serve the API as in a pod; yields its port."""
    settings = Settings(
        api_read_timeout=read_timeout,
        api_write_timeout=write_timeout,
        api_connections=connections,
        drain_timeout="1s",
    )
    listener = open_port("127.0.0.1", 0, "API")
    # Accepted sockets inherit it: a response that a client does not read stays in the process.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    stop = Stop()
    app = create_app(Services(settings, NoOrders(), None, None, None, Readiness({}), None, access))
    serving = asyncio.create_task(serve(app, listener, stop, settings))
    try:
        yield listener.getsockname()[1]
    finally:
        stop.request("the test is over")
        await serving


class Client:
    """A connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def of(cls, port: int, sent: str = "") -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent.encode())
            yield cls(reader, writer)
        finally:
            writer.close()

    def send(self, text: str) -> None:
        self._writer.write(text.encode())

    async def answer(self) -> tuple[int, dict[str, str], dict]:
        """Status, headers and problem document of the next answer."""
        async with asyncio.timeout(SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self._reader.readexactly(int(headers["content-length"]))
        assert headers["content-type"] == "application/problem+json"
        return int(head[0].split()[1]), headers, json.loads(body)

    async def closed(self) -> bool:
        async with asyncio.timeout(SECONDS):
            try:
                return await self._reader.read() == b""
            except ConnectionResetError:
                return True


def post(more: str = "", body: str = "", length: int | None = None) -> str:
    length = len(body) if length is None else length
    return f"POST /orders/ord-1/cancel HTTP/1.1\r\nHost: api\r\n{JSON}{more}Content-Length: {length}\r\n\r\n{body}"


@pytest.mark.parametrize(
    "request_",
    [post(length=1000), post(length=10**9), post(body="not JSON"), post(body='{"reason": 1}')],
    ids=["never-sent", "too-long", "no-json", "wrong"],
)
async def test_request_without_a_token_is_401_before_its_body_is_read(access, request_):
    async with api(access) as port, Client.of(port, request_) as client:
        status, headers, problem = await client.answer()
    assert (status, problem["type"]) == (401, "urn:orderfleet:problem:unauthenticated")
    assert headers["www-authenticate"].startswith("Bearer")


async def test_token_of_another_role_is_403_before_the_body_is_read(access):
    carrier = f"POST /orders/ord-1/shipments/shipping-ord-1-1/updates HTTP/1.1\r\nHost: api\r\n{JSON}{AUTHORIZED}"
    async with api(access) as port, Client.of(port, f"{carrier}Content-Length: 1000\r\n\r\n") as client:
        assert (await client.answer())[0] == 403


async def test_body_that_does_not_arrive_in_time_is_408_and_ends_the_connection(access):
    async with api(access, SHORT) as port, Client.of(port, post(AUTHORIZED, length=1000)) as client:
        feeding = asyncio.create_task(trickle(client))
        status, headers, problem = await client.answer()
        feeding.cancel()
        assert (status, problem["type"]) == (408, "urn:orderfleet:problem:body-timeout")
        assert headers["connection"] == "close"
        assert await client.closed()


async def trickle(client: Client) -> None:
    """Send a byte every 50 ms, so that the connection is never idle."""
    while True:
        client.send(" ")
        await asyncio.sleep(0.05)


async def test_head_that_does_not_arrive_in_time_is_408(access):
    async with api(access, SHORT) as port, Client.of(port, "GET /orders/ord-1 HTTP/1.1\r\n") as client:
        status, _, problem = await client.answer()
        assert (status, problem["type"]) == (408, "urn:orderfleet:problem:request-timeout")
        assert await client.closed()


async def test_connection_that_sends_nothing_is_closed(access):
    async with api(access, SHORT) as port, Client.of(port) as client:
        assert (await client.answer())[0] == 408
        assert await client.closed()


async def test_connection_with_an_unread_body_is_closed(access):
    async with api(access, SHORT) as port, Client.of(port, post(length=10**6)) as client:
        assert (await client.answer())[0] == 401
        feeding = asyncio.create_task(trickle(client))
        assert await client.closed()
        feeding.cancel()


async def test_slow_request_on_a_reused_connection_is_408(access):
    async with api(access, SHORT) as port, Client.of(port) as client:
        for _ in range(2):
            client.send(f"GET /orders/ord-1 HTTP/1.1\r\nHost: api\r\n{AUTHORIZED}\r\n")
            assert (await client.answer())[0] == 404
        client.send("GET /orders/ord-1")
        assert (await client.answer())[0] == 408


async def test_connection_above_the_limit_is_503_until_others_are_closed(access):
    limit = 5
    async with api(access, "1s", connections=limit) as port, AsyncExitStack() as stack:
        for _ in range(limit):
            await stack.enter_async_context(Client.of(port, "GET /slow HTTP/1.1\r\n"))
        async with Client.of(port) as client:
            status, headers, problem = await client.answer()
            assert (status, problem["type"]) == (503, "urn:orderfleet:problem:busy")
            assert headers["retry-after"]
            assert await client.closed()
        assert await served(port)


async def test_connection_whose_client_does_not_read_is_closed(access):
    request = b"GET /openapi.json HTTP/1.1\r\nHost: api\r\n\r\n"
    with socket.socket() as connection:
        # Set before the connect, so that the kernel does not enlarge it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with api(access, write_timeout="1s", connections=1) as port:
            connection.connect(("127.0.0.1", port))
            connection.send(request)
            async with Client.of(port) as client:
                assert (await client.answer())[0] == 503
            assert await served(port)


async def served(port: int) -> bool:
    """Send requests until one is served; False after the timeout."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        async with Client.of(port, f"GET /orders/ord-1 HTTP/1.1\r\nHost: api\r\n{AUTHORIZED}\r\n") as client:
            status, *_ = await client.answer()
        if status == 404:
            return True
        assert status == 503
        await asyncio.sleep(0.05)
    return False


async def test_path_with_a_trailing_slash_is_not_redirected(access):
    get = f"GET /orders/ HTTP/1.1\r\nHost: evil.example\r\n{AUTHORIZED}\r\n"
    async with api(access) as port, Client.of(port, get) as client:
        status, headers, _ = await client.answer()
    assert status == 404
    assert "location" not in headers


async def test_body_that_arrives_in_parts_is_read(access):
    async with api(access) as port, Client.of(port, post(AUTHORIZED, length=2)) as client:
        client.send("{")
        await asyncio.sleep(0.1)
        client.send("}")
        assert (await client.answer())[0] == 404
