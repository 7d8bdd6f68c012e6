"""`/orders/{id}/watch`: the current status, each change, the end event; also after a restart of Postgres."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import httpx
import pytest

from integration.api.streams import Stream, watching
from orderfleet.api import jwt as jwt_module
from orderfleet.api.access import Access
from orderfleet.api.authentication import FileAuthenticator
from orderfleet.api.fanout import Fanout
from orderfleet.api.jwt import ClaimedRoles, JwksCache, JwtAuthenticator
from orderfleet.domain.status import Step
from orderfleet.store.migrate import migrate
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.identity_provider import AUDIENCE, ISSUER, identity_provider
from support.own_postgres import own_postgres
from support.polling import eventually
from support.sample_rows import AT, progress, receive


@pytest.fixture
async def writes(postgres_url) -> AsyncIterator[OrderWrites]:
    async with Database(postgres_url, pool_size=2, timeout=timedelta(seconds=20)) as database:
        yield OrderWrites(database)


async def test_watch_sends_the_current_status_each_change_and_the_end(api, workflow_env, order_id, new_order, until):
    async with api(listening=True) as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        async with watching(caller, order_id) as stream:
            await stream.until("manual_review")
            await caller.post(f"/orders/{order_id}/signals/approve")
            await stream.until("shipped")
            name, _, _ = await stream.next()
            while name == "status":
                name, _, _ = await stream.next()
            assert name == "end"
            assert await stream.closed()


async def test_watch_versions_increase_without_duplicates(api, writes):
    await receive(writes)
    async with api(listening=True) as caller, watching(caller, "ord-1") as stream:
        seen = [await stream.next()]
        for number, step in ((2, Step.VALIDATE), (3, Step.CHARGE), (4, Step.SHIPPING)):
            await writes.record("ord-1", progress(number, step))
            seen.append(await stream.next())
    assert [data["step"] for _, data, _ in seen] == ["receive", "validate", "charge", "shipping"]
    versions = [int(version) for _, _, version in seen]
    assert versions == sorted(set(versions))


async def test_watch_of_an_ended_order_sends_it_once_and_then_204(api, writes):
    await receive(writes)
    await writes.record("ord-1", progress(2, Step.CANCELED, completed_at=AT))
    async with api(listening=True) as caller:
        async with watching(caller, "ord-1") as stream:
            name, data, version = await stream.next()
            assert (name, data["step"], data["source"]) == ("status", "canceled", "database")
            assert (await stream.next())[0] == "end"
            assert await stream.closed()
        again = await caller.get("/orders/ord-1/watch", headers={"Last-Event-ID": version})
        assert again.status_code == 204
        async with watching(caller, "ord-1", **{"Last-Event-ID": "unknown"}) as stream:
            assert (await stream.next())[1] == data


async def test_inactive_stream_gets_comments(api, writes):
    await receive(writes)
    async with api(listening=True) as caller, watching(caller, "ord-1") as stream:
        await stream.next()
        waiting = asyncio.create_task(stream.next())
        await eventually(lambda: stream.comments, lambda count: count >= 2)
        await writes.record("ord-1", progress(2, Step.CHARGE))
        assert (await waiting)[1]["step"] == "charge"


async def test_many_watchers_share_one_connection(api, writes, postgres_url):
    await receive(writes)
    connection = await asyncpg.connect(postgres_url)
    async with api(listening=True) as caller:
        async with AsyncWatchers(caller, "ord-1", 20) as streams:
            connections = await connection.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() and query like '%changes%'"
                " or application_name = 'orderfleet' and datname = current_database()"
            )
            # One of the feed, three of the API's pool, and two of this test.
            assert connections <= 1 + 3 + 2
            await writes.record("ord-1", progress(2, Step.CHARGE))
            events = await asyncio.gather(*(stream.next() for stream in streams))
        assert {data["step"] for _, data, _ in events} == {"charge"}
    await connection.close()


class AsyncWatchers:
    """Opens several watchers of one order and reads the first event of each."""

    def __init__(self, caller: httpx.AsyncClient, order_id: str, count: int) -> None:
        self._all = [watching(caller, order_id) for _ in range(count)]

    async def __aenter__(self) -> list[Stream]:
        streams = await asyncio.gather(*(one.__aenter__() for one in self._all))
        await asyncio.gather(*(stream.next() for stream in streams))
        return streams

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in self._all))


async def test_disconnected_watcher_is_unsubscribed(api, writes, monkeypatch):
    unsubscribed = asyncio.Event()
    unsubscribe = Fanout.unsubscribe

    def observed_unsubscribe(self, order_id, mailbox):
        unsubscribe(self, order_id, mailbox)
        assert not self._mailboxes
        unsubscribed.set()

    monkeypatch.setattr(Fanout, "unsubscribe", observed_unsubscribe)
    await receive(writes)
    async with api(listening=True) as caller:
        async with watching(caller, "ord-1") as stream:
            await stream.next()
        await asyncio.wait_for(unsubscribed.wait(), 60)


TOKENS = {name: f"{name}-token-of-the-tests" for name in ("ada", "bob")}


def tokens_file(path, *names):
    path.write_text(json.dumps([{"name": name, "role": "read", "token": TOKENS[name]} for name in names]))
    return path


def authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("change", [None, Step.CHARGE])
async def test_stream_ends_when_its_token_is_revoked(api, writes, tmp_path, change):
    await receive(writes)
    file = tokens_file(tmp_path / "tokens.yaml", "ada", "bob")
    async with api(listening=True, access=Access(FileAuthenticator(file))) as caller:
        async with (
            watching(caller, "ord-1", **authorized(TOKENS["ada"])) as revoked,
            watching(caller, "ord-1", **authorized(TOKENS["bob"])) as kept,
        ):
            await revoked.next()
            await kept.next()
            tokens_file(file, "bob")
            if change is not None:
                await writes.record("ord-1", progress(2, change))
            assert await revoked.closed()
            await writes.record("ord-1", progress(3, Step.SHIPPING))
            assert await kept.until("shipping")
        assert (await caller.get("/orders/ord-1/watch", headers=authorized(TOKENS["ada"]))).status_code == 401


@pytest.mark.slow
async def test_stream_ends_when_its_token_expires(api, writes, monkeypatch):
    monkeypatch.setattr(jwt_module, "LEEWAY_SECONDS", 0)
    await receive(writes)
    async with identity_provider() as provider:
        authenticator = JwtAuthenticator(
            JwksCache(provider.url), issuer=ISSUER, audience=AUDIENCE, roles=ClaimedRoles("roles")
        )
        async with api(listening=True, access=Access(authenticator), heartbeat_seconds=3600) as caller:
            expires_at = int(time.time()) + 3
            async with watching(caller, "ord-1", **authorized(provider.token(exp=expires_at))) as stream:
                await stream.next()
                assert await stream.closed()
    assert expires_at <= time.time() < expires_at + 30


async def test_streams_above_the_limit_of_a_caller_are_429_until_one_ends(api, writes, tmp_path):
    await receive(writes)
    file = tokens_file(tmp_path / "tokens.yaml", "ada", "bob")
    async with api(listening=True, access=Access(FileAuthenticator(file)), api_streams_per_caller=2) as caller:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(watching(caller, "ord-1", **authorized(TOKENS["ada"])))
            # Streamed, so that an accepted one fails the test instead of being read without end.
            async with caller.stream("GET", "/orders/ord-1/watch", headers=authorized(TOKENS["ada"])) as rejected:
                assert rejected.status_code == 429
                await rejected.aread()
            assert rejected.headers["content-type"] == "application/problem+json"
            assert rejected.headers["retry-after"]
            assert rejected.json()["type"] == "urn:orderfleet:problem:too-many-streams"
            async with watching(caller, "ord-1", **authorized(TOKENS["bob"])) as other:
                await other.next()

        async def status() -> int:
            async with caller.stream("GET", "/orders/ord-1/watch", headers=authorized(TOKENS["ada"])) as answer:
                return answer.status_code

        await eventually(status, lambda found: found == 200)
        for _ in range(5):
            unknown = await caller.get("/orders/unknown/watch", headers=authorized(TOKENS["ada"]))
            assert unknown.status_code == 404, "a rejected stream still counts"


async def test_watch_of_an_unknown_order_is_404(api, order_id):
    async with api(listening=True) as caller:
        answer = await caller.get(f"/orders/{order_id}/watch")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_watcher_survives_a_restart_of_postgres(api, backing):
    with own_postgres(backing.folder) as server:
        await migrate(server.url)
        async with Database(server.url, pool_size=1, timeout=timedelta(seconds=20)) as database:
            await receive(OrderWrites(database))
        async with api(listening=True, database_url=server.url) as caller, watching(caller, "ord-1") as stream:
            await stream.next()
            server.kill()
            await asyncio.to_thread(server.start)
            async with Database(server.url, pool_size=1, timeout=timedelta(seconds=20)) as database:
                await OrderWrites(database).record("ord-1", progress(2, Step.CANCELED, completed_at=AT))
            assert (await stream.until("canceled"))["completed_at"]
            assert (await stream.next())[0] == "end"
