"""Outages of Temporal, Postgres and the API server: the Order shows them, and continues afterwards."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from orderfleet.services.workflow_client import Change
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually
from support.scripted_providers import Gate
from support.tcp_proxy import tcp_proxy


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))


async def test_created_while_temporal_is_unavailable_is_shipped_later(operator_env, workers, temporal_address):
    host, port = temporal_address.split(":")
    name = operator_env.name()
    async with tcp_proxy(host, int(port)) as temporal:
        await temporal.cut()
        async with operator_env.operator(temporal_address=f"127.0.0.1:{temporal.port}"):
            await operator_env.apply(order_manifest(name, approved=True))
            waiting = await operator_env.until(name, lambda order: condition(order, "Reconciling") is not None)
            assert condition(waiting, "Reconciling") == ("True", "TemporalUnavailable")
            assert condition(waiting, "Accepted") is None
            await temporal.restore()
            done = await operator_env.until(name, ended, seconds=60)
    assert condition(done, "Ready") == ("True", "Shipped")
    assert (await operator_env.reasons(name))[0] == "TemporalUnavailable"


@pytest.mark.slow
async def test_edited_while_temporal_is_unavailable_is_applied_later(operator_env, workers, temporal_address):
    host, port = temporal_address.split(":")
    name = operator_env.name()
    async with (
        tcp_proxy(host, int(port)) as temporal,
        operator_env.operator(temporal_address=f"127.0.0.1:{temporal.port}"),
    ):
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await temporal.cut()
        await operator_env.patch(name, approved=True)
        waiting = await operator_env.until(
            name, lambda order: condition(order, "Reconciling") == ("True", "TemporalUnavailable"), seconds=30
        )
        assert waiting["status"]["observedGeneration"] == 1
        assert step(waiting) == "manual_review"
        await temporal.restore()
        done = await operator_env.until(name, ended, seconds=60)
    assert condition(done, "Ready") == ("True", "Shipped")


@pytest.mark.slow
async def test_deleted_while_temporal_is_unavailable_exists_until_cancel_is_durable(
    operator_env, workers, temporal_address
):
    host, port = temporal_address.split(":")
    name = operator_env.name()
    async with (
        tcp_proxy(host, int(port)) as temporal,
        operator_env.operator(temporal_address=f"127.0.0.1:{temporal.port}") as operator,
    ):
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await temporal.cut()
        await operator_env.delete(name)
        (key,) = operator.cache
        await eventually(lambda: operator.queue.failures(key))
        assert await operator_env.get(name) is not None
        await temporal.restore()
        await operator_env.until_gone(name, seconds=60)
    status = await workers.handle(name).result()
    assert status.canceled


@pytest.mark.slow
async def test_created_while_postgres_is_unavailable_is_shipped_later(operator_env, workers, postgres_url):
    name = operator_env.name()
    async with tcp_proxy("127.0.0.1", urlsplit(postgres_url).port or 5432) as postgres:
        await postgres.cut()
        async with operator_env.operator(database_url=SecretStr(_through(postgres_url, postgres.port))) as operator:
            assert operator.not_ready() is not None
            await operator_env.apply(order_manifest(name, approved=True))
            waiting = await operator_env.until(name, lambda order: condition(order, "Reconciling") is not None)
            assert condition(waiting, "Reconciling") == ("True", "StoreUnavailable")
            await postgres.restore()
            done = await operator_env.until(name, ended, seconds=60)
            assert operator.not_ready() is None
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_feed_after_postgres_outage_delivers_missed_changes(operator_env, workers, postgres_url):
    charging = Gate()
    workers.provider.charging.before = [charging]
    name = operator_env.name()
    async with (
        tcp_proxy("127.0.0.1", urlsplit(postgres_url).port or 5432) as postgres,
        operator_env.operator(database_url=SecretStr(_through(postgres_url, postgres.port))),
    ):
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, lambda order: step(order) == "charge")
        await postgres.cut()
        charging.opened.set()
        await workers.handle(name).result()
        await postgres.restore()
        done = await operator_env.until(name, ended, seconds=60)
    assert condition(done, "Ready") == ("True", "Shipped")


async def test_api_server_after_outage_is_watched_again(operator_env, workers, kubernetes, tmp_path, monkeypatch):
    config = json.loads(kubernetes.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    port = urlsplit(cluster["server"]).port or 443
    async with tcp_proxy("127.0.0.1", port) as api:
        cluster["server"] = f"https://127.0.0.1:{api.port}"
        through = tmp_path / "kubeconfig"
        through.write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(through))
        name, other = operator_env.name(), operator_env.name()
        async with operator_env.operator():
            await operator_env.apply(order_manifest(name))
            await operator_env.until(name, lambda order: step(order) == "manual_review")
            await api.cut()
            # kubectl has its own connection, and works while the operator is disconnected.
            await operator_env.patch(name, approved=True)
            await operator_env.apply(order_manifest(other, approved=True))
            await workers.client.change(name, Change.approve())
            await workers.handle(name).result()
            await api.restore()
            done = await operator_env.until(name, ended, seconds=60)
            also = await operator_env.until(other, ended, seconds=60)
    assert condition(done, "Ready") == ("True", "Shipped")
    assert condition(also, "Ready") == ("True", "Shipped")


async def test_status_written_by_another_client_is_overwritten(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.kubectl(
            "patch", "ofo", name, "--subresource=status", "--type=merge", "-p", '{"status":{"step":"failed"}}'
        )
        await operator_env.until(name, lambda order: step(order) == "manual_review")
