"""Postgres on a disk that fills up while orders run: first no table can grow, then its log can't, and it stops.

Orders wait for room; with room again, and Postgres started again, each ends right and with its attempts left.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from fleet import Fleet, eventually, fleet, quick_policy

from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.policy import OutagePolicy, StepPolicy
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.migrate import migrate
from orderfleet_local.stack import processes
from support.own_postgres import OwnServer
from support.small_disk import SmallDisk, small_disk
from support.worker_processes import WorkerFleet

WAITING, NEW = 5, 20
ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]
ADDRESS = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    made: Path = request.getfixturevalue("backing").folder / f"disk-{uuid.uuid4().hex[:8]}"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def disk(folder: Path) -> Iterator[SmallDisk]:
    with small_disk(folder / "postgres", mebibytes=256) as made:
        yield made


@pytest.fixture
def server(folder: Path, disk: SmallDisk) -> Iterator[OwnServer]:
    made = OwnServer(folder)
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
async def shop(server: OwnServer, temporal_client: Client, task_queues: Any) -> AsyncIterator[Fleet]:
    await migrate(server.url)
    async with fleet(temporal_client, server.url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.fixture
async def api(
    server: OwnServer, shop: Fleet, temporal_address: str, task_queues: Any, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": server.url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_REVIEW_MODE": "auto",
    }
    async with AsyncExitStack() as stack:
        process = await WorkerFleet(stack, environment, tmp_path).api()
        await process.answers("/readyz", 200)
        url = f"http://127.0.0.1:{process.port}"
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_orders_wait_for_room_and_end_right(
    shop: Fleet, server: OwnServer, disk: SmallDisk, api: httpx.AsyncClient, folder: Path
) -> None:
    # A busy machine may stand still for longer than the product's own attempts may take.
    step = StepPolicy(attempt_timeout="60s", initial_interval="10ms")
    names = ("receive", "validation", "record", "charge", "prepare_package", "dispatch_carrier")
    gaps = OutagePolicy(first="1s", longest="5s")
    policy = quick_policy(shop.settings, **dict.fromkeys(names, step), outage=gaps)
    run = uuid.uuid4().hex[:8]
    waiting, new = ([f"{kind}-{run}-{n}" for n in range(count)] for kind, count in (("wait", WAITING), ("new", NEW)))
    over_http = f"http-{run}"
    for order_id in waiting:
        await shop.start(shop.order(order_id, policy=policy))
    for order_id in waiting:
        await shop.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    connection = await asyncpg.connect(server.url, timeout=60)
    # A log file that is all empty lets the tables be what runs out of room first.
    await connection.execute("select pg_switch_wal()")
    await connection.execute("checkpoint")

    disk.fill()
    for order_id in new:
        await shop.start(shop.order(order_id, policy=policy, review=Review(mode=ReviewMode.AUTO)))
    for order_id in waiting:
        await shop.client.approve(order_id)
    log = folder / "logs" / "postgres.log"
    await eventually(lambda: _told(log), lambda told: "could not extend file" in told)
    # What only reads, or only asks Temporal, goes on.
    assert (await api.get(f"/orders/{waiting[0]}/events")).status_code == 200
    taken = await api.post("/orders", json={"order_id": over_http, "items": ITEMS, "address": ADDRESS})
    assert taken.status_code == 201
    assert disk.free == 0

    await _use_up_the_log(connection)
    await eventually(lambda: _processes(folder), lambda found: not found)
    assert "PANIC" in await _told(log)
    refused = await api.get(f"/orders/{waiting[0]}/events")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]

    disk.make_room()
    server.start()
    for order_id in (*waiting, *new, over_http):
        status = await asyncio.wait_for(shop.handle(order_id).result(), 120)
        assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
        assert status.retries == {}, "an attempt was used up by the full disk"
        assert (await shop.recorded(order_id)).status.step is Step.SHIPPED
        assert shop.provider.balance(status.payment.id) == 1
        assert len(shop.carrier.parcels[f"ship-{order_id}"]) == 1


async def _told(log: Path) -> str:
    return await asyncio.to_thread(log.read_text, errors="replace")


async def _processes(folder: Path) -> list[Any]:
    return [process for found in processes.find(folder).values() for process in found]


async def _use_up_the_log(connection: asyncpg.Connection) -> None:
    """Write to the log and to no table, until that can't be done either."""
    write = "select pg_logical_emit_message(true, 'test', repeat('x', 1048576)) from generate_series(1, 300)"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute(write)
