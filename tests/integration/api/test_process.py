"""`orderfleet api` as a process, as in a pod."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from orderfleet_local.stack import ports
from support.polling import eventually
from support.sample_rows import receive

PROGRAM = (sys.executable, "-m", "orderfleet", "api")


@asynccontextmanager
async def process(**environment: str | None) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ORDERFLEET_")}
    started = await asyncio.create_subprocess_exec(
        *PROGRAM,
        env={
            name: value
            for name, value in {
                **inherited,
                "ORDERFLEET_API_AUTH": "none",
                "ORDERFLEET_HEALTH_PORT": "0",
                **environment,
            }.items()
            if value
        },
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def test_ready_serves_metrics_on_the_health_port_alone_and_drains_on_sigterm(temporal_address, postgres_url):
    port, health_port = ports.choose(0), ports.choose(0)
    url, health_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}"
    settings = {
        "ORDERFLEET_HEALTH_PORT": str(health_port),
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_API_PORT": str(port),
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
    }
    async with process(**settings) as api, httpx.AsyncClient(base_url=url) as caller:
        await eventually(lambda: _status(caller, "/readyz"), lambda status: status == 200)
        assert (await caller.get("/healthz")).text == "ok\n"
        # A mounted application would be at the second path.
        assert [(await caller.get(path)).status_code for path in ("/metrics", "/metrics/")] == [404, 404]
        assert "process_cpu_seconds_total" in (await caller.get(f"{health_url}/metrics")).text
        assert (await caller.get(f"{health_url}/readyz")).text == "ready\n"
        assert "orderfleet" in (await caller.get("/openapi.json")).text.lower()
        await caller.get("/orders/no-such-order", headers={"X-Request-ID": "asked-by-a-test"})
        api.send_signal(signal.SIGTERM)
        _, stderr = await asyncio.wait_for(api.communicate(), 60)
    assert api.returncode == 0
    lines = [json.loads(line) for line in stderr.decode().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "asked-by-a-test"]
    expected = {"event": "request", "role": "api", "order_id": "no-such-order", "status": 404}
    assert expected.items() <= line.items()


async def test_stream_is_closed_when_the_process_drains(temporal_address, postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=20)) as database:
        await receive(OrderWrites(database))
    port = ports.choose(0)
    settings = {
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_API_PORT": str(port),
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERFLEET_DRAIN_TIMEOUT": "60s",
    }
    async with process(**settings) as api, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as caller:
        await eventually(lambda: _status(caller, "/readyz"), lambda status: status == 200)
        async with caller.stream("GET", "/orders/ord-1/watch") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: status"
            api.send_signal(signal.SIGTERM)
            rest = [line async for line in lines]
        assert "event: end" not in rest
        assert await asyncio.wait_for(api.wait(), 60) == 0


async def test_process_is_unready_until_temporal_and_postgres_have_answered():
    port = ports.choose(0)
    unused_address = f"127.0.0.1:{ports.choose(0)}"
    settings = {
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_API_PORT": str(port),
        "ORDERFLEET_TEMPORAL_ADDRESS": unused_address,
        "ORDERFLEET_DATABASE_URL": f"postgresql://unused@{unused_address}/unused",
    }
    async with process(**settings), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as caller:
        await eventually(lambda: _status(caller, "/healthz"), lambda status: status == 200)
        answer = await caller.get("/readyz")
    assert answer.status_code == 503
    assert "Temporal has not answered yet" in answer.text


async def test_port_in_use_exits_with_one_line():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        async with process(ORDERFLEET_API_HOST="127.0.0.1", ORDERFLEET_API_PORT=port) as api:
            _, stderr = await asyncio.wait_for(api.communicate(), 30)
    assert api.returncode == 1
    assert stderr.decode() == (
        f"orderfleet: can't listen on 127.0.0.1:{port}: address already in use;"
        " set ORDERFLEET_API_HOST or ORDERFLEET_API_PORT\n"
    )


async def test_samples_outside_the_local_stack_are_rejected():
    async with process(ORDERFLEET_SAMPLE_ORDERS="true") as api:
        _, stderr = await asyncio.wait_for(api.communicate(), 30)
    assert api.returncode == 2
    assert "ORDERFLEET_SAMPLE_ORDERS is for ORDERFLEET_ENVIRONMENT=local only" in stderr.decode()


async def test_missing_authentication_outside_the_local_stack_is_rejected():
    async with process(ORDERFLEET_API_AUTH=None) as api:
        _, stderr = await asyncio.wait_for(api.communicate(), 30)
    assert api.returncode == 2
    assert stderr.decode().startswith("orderfleet: ORDERFLEET_API_AUTH isn't set: choose `tokens`, `jwt`, or `none`")


async def _status(caller: httpx.AsyncClient, path: str) -> int:
    try:
        return (await caller.get(path)).status_code
    except httpx.TransportError:
        return 0
