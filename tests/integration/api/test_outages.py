"""Outages of Temporal or Postgres: 503 with `Retry-After`; routes that don't need the unavailable part still work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from orderfleet.api.access import Access
from orderfleet.api.dependencies import REQUEST_TIMEOUT
from orderfleet.api.jwt import KEY_LIFETIME_SECONDS, ClaimedRoles, JwksCache, JwtAuthenticator
from orderfleet.domain.orphans import UnfinishedOrder
from orderfleet.temporal.order_workflows import TemporalCallFailed, TemporalOrderWorkflows
from orderfleet_local.stack import ports
from support.factories import ADDRESS_JSON
from support.identity_provider import AUDIENCE, ISSUER, IdentityProvider, identity_provider
from support.polling import eventually
from support.tcp_proxy import TcpProxy, tcp_proxy

ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]
MAX_SECONDS = 8.0
"""The 2 s of a request and the delays of a busy machine. Without the API's deadline these calls hang."""


@pytest.fixture
async def no_temporal() -> Client:
    """A client of a port where no server listens."""
    address = f"127.0.0.1:{ports.choose(0)}"
    return await Client.connect(address, lazy=True, data_converter=pydantic_data_converter)


@pytest.fixture
def no_postgres() -> str:
    return f"postgresql://unused@127.0.0.1:{ports.choose(0)}/nothing"


async def test_temporal_unavailable_is_503_for_routes_that_need_it(api, no_temporal, order_id, new_order):
    async with api(temporal=no_temporal) as caller:
        answers = [
            await new_order(caller, order_id, expected=503),
            await caller.get(f"/orders/{order_id}/status"),
            await caller.post(f"/orders/{order_id}/signals/approve"),
        ]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.json()["type"] == "urn:orderfleet:problem:temporal-unavailable"
        assert "127.0.0.1" not in answer.text


async def test_unknown_namespace_is_temporal_unavailable(api, temporal_address, order_id, new_order, workflow_env):
    """A server that has just started may not have loaded its namespaces yet."""
    unknown = await Client.connect(temporal_address, namespace="unknown", data_converter=pydantic_data_converter)
    async with api(temporal=unknown) as caller:
        answers = [
            await new_order(caller, order_id, expected=503),
            await caller.post(f"/orders/{order_id}/signals/approve"),
            await caller.post(f"/orders/{order_id}/cancel"),
        ]
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:orderfleet:problem:temporal-unavailable"
    unfinished = UnfinishedOrder(order_id=order_id, workflow_id=f"order-{order_id}", first_run_id="any")
    with pytest.raises(TemporalCallFailed, match="unknown"):
        await TemporalOrderWorkflows(unknown).state(unfinished)


async def test_order_store_answers_while_temporal_is_unavailable(
    api, workflow_env, no_temporal, order_id, new_order, until
):
    async with api() as caller:
        await new_order(caller, order_id)
        await workflow_env.until_recorded(order_id, lambda status: status.step == "manual_review")
    async with api(temporal=no_temporal) as caller:
        for path in ("", "/status"):
            answer = await caller.get(f"/orders/{order_id}{path}")
            assert (answer.status_code, answer.json()["source"]) == (200, "database")
        assert (await caller.get(f"/orders/{order_id}/events")).status_code == 200


async def test_orders_are_started_and_read_while_postgres_is_unavailable(
    api, workflow_env, no_postgres, order_id, new_order, until
):
    async with api(database_url=no_postgres) as caller:
        await new_order(caller, order_id)
        status = await until(caller, order_id, "manual_review")
        assert status["source"] == "workflow"
        assert (await caller.get(f"/orders/{order_id}")).json()["source"] == "workflow"
        events = await caller.get(f"/orders/{order_id}/events")
    assert events.status_code == 503
    assert events.json()["type"] == "urn:orderfleet:problem:store-unavailable"


@pytest.fixture
async def temporal_line(temporal_address) -> AsyncIterator[TcpProxy]:
    host, _, port = temporal_address.rpartition(":")
    async with tcp_proxy(host, int(port)) as line:
        yield line


@pytest.fixture
async def postgres_line(postgres_url) -> AsyncIterator[TcpProxy]:
    at = urlsplit(postgres_url)
    async with tcp_proxy(at.hostname or "", at.port or 0) as line:
        yield line


def through(line: TcpProxy, url: str) -> str:
    at = urlsplit(url)
    return at._replace(netloc=f"{at.username}@127.0.0.1:{line.port}").geturl()


async def interrupt(line: TcpProxy, how: str) -> None:
    await line.cut() if how == "cut" else line.silence()


async def timed(call: Awaitable[httpx.Response]) -> httpx.Response:
    began = time.perf_counter()
    answer = await call
    assert time.perf_counter() - began < MAX_SECONDS, answer.request.url
    return answer


def needing_temporal(caller: httpx.AsyncClient, order_id: str) -> list[Awaitable[httpx.Response]]:
    return [
        caller.post("/orders", json={"order_id": f"{order_id}-2", "items": ITEMS, "address": ADDRESS_JSON}),
        caller.post(f"/orders/{order_id}-3/start", json={"items": ITEMS, "address": ADDRESS_JSON}),
        caller.post(f"/orders/{order_id}/cancel"),
        caller.post(f"/orders/{order_id}/signals/approve"),
        caller.post(f"/orders/{order_id}/signals/cancel-payment"),
        caller.post(f"/orders/{order_id}/signals/address", json=ADDRESS_JSON),
        caller.post("/signals/approve", json={"workflow_id": f"order-{order_id}"}),
    ]


def needing_postgres(caller: httpx.AsyncClient, order_id: str) -> list[Awaitable[httpx.Response]]:
    return [
        caller.get("/orders"),
        caller.get("/orders", params={"step": "shipped"}),
        caller.get(f"/orders/{order_id}/events"),
    ]


def needing_either(caller: httpx.AsyncClient, order_id: str) -> list[Awaitable[httpx.Response]]:
    return [
        caller.get(f"/orders/{order_id}"),
        caller.get(f"/orders/{order_id}/status"),
        caller.get(f"/status/order-{order_id}"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_temporal_outage_is_503_within_two_seconds_until_it_recovers(
    api, workflow_env, temporal_line, order_id, new_order, how
):
    client = await Client.connect(f"127.0.0.1:{temporal_line.port}", data_converter=pydantic_data_converter)
    async with api(temporal=client, request_timeout=REQUEST_TIMEOUT) as caller:
        await new_order(caller, order_id)
        await workflow_env.until_recorded(order_id, lambda status: status.step == "manual_review")
        await interrupt(temporal_line, how)
        answers = await asyncio.gather(*map(timed, needing_temporal(caller, order_id)))
        assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(503, "2")] * 7
        await eventually(lambda: sources(caller, order_id), lambda found: found == [(200, "database")] * 3)
        await temporal_line.restore()

        async def approved() -> int:
            return (await caller.post(f"/orders/{order_id}/signals/approve")).status_code

        # Requests held by the silent connection are delivered now; the cancel may arrive first.
        await eventually(approved, lambda status: status in {200, 202, 409})
        await workflow_env.until_recorded(order_id, lambda status: status.ended)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_postgres_outage_is_503_within_two_seconds_until_it_recovers(
    api, workflow_env, postgres_line, postgres_url, order_id, new_order, until, how
):
    async with api(database_url=through(postgres_line, postgres_url), request_timeout=REQUEST_TIMEOUT) as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        assert (await caller.get("/orders")).status_code == 200
        await interrupt(postgres_line, how)
        answers = await asyncio.gather(*map(timed, needing_postgres(caller, order_id)))
        assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(503, "2")] * 3
        await eventually(lambda: sources(caller, order_id), lambda found: found == [(200, "workflow")] * 3)
        created = await timed(new_order(caller, f"{order_id}-2"))
        assert created.status_code == 201
        await postgres_line.restore()
        await eventually(lambda: status_of(caller, "/orders"), lambda status: status == 200)


async def test_both_unresponsive_are_503_within_two_seconds_for_every_route(
    api, workflow_env, temporal_line, postgres_line, postgres_url, order_id, new_order, until
):
    client = await Client.connect(f"127.0.0.1:{temporal_line.port}", data_converter=pydantic_data_converter)
    async with api(
        temporal=client, database_url=through(postgres_line, postgres_url), request_timeout=REQUEST_TIMEOUT
    ) as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        for line in (temporal_line, postgres_line):
            line.silence()
        update = caller.post(f"/orders/{order_id}/shipments/shipping-{order_id}-1/updates", json={"status": "booked"})
        calls = [
            *(each(caller, order_id) for each in (needing_temporal, needing_postgres, needing_either)),
            [update, caller.get(f"/orders/{order_id}/watch")],
        ]
        answers = await asyncio.gather(*(timed(call) for group in calls for call in group))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as server:
        yield server


@pytest.mark.slow
async def test_identity_provider_and_temporal_that_hang_share_the_deadline(
    api, workflow_env, temporal_line, provider, order_id, new_order
):
    client = await Client.connect(f"127.0.0.1:{temporal_line.port}", data_converter=pydantic_data_converter)
    now = [0.0]
    async with tcp_proxy("127.0.0.1", provider.port) as provider_line:
        keys = JwksCache(f"http://127.0.0.1:{provider_line.port}/keys", clock=lambda: now[0])
        authenticator = JwtAuthenticator(keys, issuer=ISSUER, audience=AUDIENCE, roles=ClaimedRoles("roles"))
        async with api(temporal=client, request_timeout=timedelta(seconds=4), access=Access(authenticator)) as caller:
            caller.headers["Authorization"] = f"Bearer {provider.token()}"
            await eventually(lambda: status_of(caller, "/orders"), lambda status: status == 200)
            await new_order(caller, order_id)
            await workflow_env.until_recorded(order_id, lambda status: status.step == "manual_review")
            for line in (temporal_line, provider_line):
                line.silence()
            # The keys are old enough to be fetched again, and stay valid while they can't be fetched.
            now[0] += KEY_LIFETIME_SECONDS
            began = time.perf_counter()
            answer = await caller.post(f"/orders/{order_id}/signals/approve")
    # Without a shared deadline the two waits would add up: 1.5 s and 4 s, plus the delays of a busy machine.
    assert time.perf_counter() - began < MAX_SECONDS
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:orderfleet:problem:temporal-unavailable"


async def sources(caller: httpx.AsyncClient, order_id: str) -> list[tuple[int, str]]:
    answers = await asyncio.gather(*map(timed, needing_either(caller, order_id)))
    return [(answer.status_code, answer.json().get("source", "")) for answer in answers]


async def status_of(caller: httpx.AsyncClient, path: str) -> int:
    return (await caller.get(path)).status_code


async def test_unexpected_error_does_not_leak_its_message(api, workflow_env, order_id, monkeypatch):
    async def broken(*_args, **_kwargs):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("orderfleet.services.orders.OrderService.live", broken)
    async with api() as caller:
        caller._transport.raise_app_exceptions = False
        answer = await caller.get(f"/orders/{order_id}/status")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
