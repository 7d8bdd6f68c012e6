"""Half-open connections: the operator reconnects within its timeouts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from orderfleet.services.workflow_client import Change
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually
from support.tcp_proxy import tcp_proxy

INACTIVITY_TIMEOUT = 4
"""Inactivity timeout of the watch, in seconds."""
RECONNECTS_WITHIN = 40
"""Seconds: more than the timeout for a busy machine, less than the 70 of kopf's own timeout."""


@pytest.mark.slow
async def test_half_open_watch_reconnects_after_inactivity_timeout(operator_env, workers, api_server_proxy) -> None:
    async with operator_env.operator(operator_watch_silence=timedelta(seconds=INACTIVITY_TIMEOUT)) as operator:
        before, after = operator_env.name(), operator_env.name()
        await operator_env.apply(order_manifest(before))
        await operator_env.until(before, lambda order: step(order) == "manual_review")
        api_server_proxy.half_open()
        await api_server_proxy.restore()  # existing connections stay half-open
        await operator_env.apply(order_manifest(after))  # kubectl has its own connection
        await eventually(lambda: after in {key.name for key in operator.cache}, seconds=RECONNECTS_WITHIN)


@pytest.mark.slow
async def test_half_open_change_feed_reconnects(operator_env, workers, postgres_url) -> None:
    parts = urlsplit(postgres_url)
    async with tcp_proxy("127.0.0.1", parts.port or 5432) as postgres:
        user = f"{parts.username}@" if parts.username else ""
        url = SecretStr(urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{postgres.port}")))
        async with operator_env.operator(database_url=url):
            name = operator_env.name()
            await operator_env.apply(order_manifest(name))
            await operator_env.until(name, lambda order: step(order) == "manual_review")
            postgres.half_open()
            await postgres.restore()
            await workers.client.change(name, Change.approve())
            await asyncio.wait_for(workers.handle(name).result(), 60)
            done = await operator_env.until(name, ended, seconds=RECONNECTS_WITHIN)
    assert condition(done, "Ready") == ("True", "Shipped")
