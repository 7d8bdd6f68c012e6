"""Postgres on a disk that fills up while orders run: first no table can grow, then the WAL cannot, and it stops.

Orders wait for space. With space again and Postgres restarted, each ends correctly and has used no attempt.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from orderfleet.domain.policy import OutagePolicy, StepPolicy
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.services.workflow_client import Change
from orderfleet.store.migrate import migrate
from orderfleet_local.stack import processes
from support.factories import ADDRESS_JSON, AUTO, quick_policy
from support.own_postgres import OwnServer
from support.polling import eventually
from support.role_processes import RoleProcesses
from support.small_disk import SmallDisk, small_disk
from support.workflow_env import WorkflowTestEnv, workflow_test_env

WAITING, NEW = 5, 20
ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]


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
async def workers(server: OwnServer, temporal_client: Client, task_queues: Any) -> AsyncIterator[WorkflowTestEnv]:
    await migrate(server.url)
    async with workflow_test_env(temporal_client, server.url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.fixture
async def api(
    server: OwnServer, workers: WorkflowTestEnv, processes: RoleProcesses
) -> AsyncIterator[httpx.AsyncClient]:
    process = await processes.api(ORDERFLEET_DATABASE_URL=server.url, ORDERFLEET_REVIEW_MODE="auto")
    await process.answers("/readyz", 200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", timeout=60) as caller:
        yield caller


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_orders_on_a_full_disk_wait_and_end_shipped(
    workers: WorkflowTestEnv, server: OwnServer, disk: SmallDisk, api: httpx.AsyncClient, folder: Path
) -> None:
    # On a busy machine an attempt may take longer than the product's own timeout.
    step = StepPolicy(attempt_timeout="60s", initial_interval="10ms")
    names = ("receive", "validation", "record", "charge", "prepare_package", "dispatch_carrier")
    backoff = OutagePolicy(first="1s", longest="5s")
    policy = quick_policy(workers.settings, **dict.fromkeys(names, step), outage=backoff)
    run = uuid.uuid4().hex[:8]
    waiting, new = ([f"{kind}-{run}-{n}" for n in range(count)] for kind, count in (("wait", WAITING), ("new", NEW)))
    over_http = f"http-{run}"
    for order_id in waiting:
        await workers.start(workers.order(order_id, policy=policy))
    for order_id in waiting:
        await workers.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    connection = await asyncpg.connect(server.url, timeout=60)
    # With an empty WAL file, the tables run out of space first.
    await connection.execute("select pg_switch_wal()")
    await connection.execute("checkpoint")

    disk.fill()
    for order_id in new:
        await workers.start(workers.order(order_id, policy=policy, review=AUTO))
    for order_id in waiting:
        await workers.client.change(order_id, Change.approve())
    log = folder / "logs" / "postgres.log"
    await eventually(lambda: _read_log(log), lambda text: "could not extend file" in text)
    # Requests that only read, or only call Temporal, still work.
    assert (await api.get(f"/orders/{waiting[0]}/events")).status_code == 200
    accepted = await api.post("/orders", json={"order_id": over_http, "items": ITEMS, "address": ADDRESS_JSON})
    assert accepted.status_code == 201
    assert disk.free == 0

    await _fill_the_wal(connection)
    await eventually(lambda: _processes(folder), lambda found: not found)
    assert "PANIC" in await _read_log(log)
    rejected = await api.get(f"/orders/{waiting[0]}/events")
    assert rejected.status_code == 503
    assert rejected.headers["Retry-After"]

    disk.make_room()
    server.start()
    for order_id in (*waiting, *new, over_http):
        status = await asyncio.wait_for(workers.handle(order_id).result(), 120)
        assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
        assert status.retries == {}, "the full disk used an attempt"
        assert (await workers.recorded(order_id)).status.step is Step.SHIPPED
        assert workers.provider.balance(status.payment.id) == 1
        assert len(workers.carrier.parcels[f"ship-{order_id}"]) == 1


async def _read_log(log: Path) -> str:
    return await asyncio.to_thread(log.read_text, errors="replace")


async def _processes(folder: Path) -> list[Any]:
    return [process for found in processes.find(folder).values() for process in found]


async def _fill_the_wal(connection: asyncpg.Connection) -> None:
    """Write to the WAL and to no table, until that fails too."""
    write = "select pg_logical_emit_message(true, 'test', repeat('x', 1048576)) from generate_series(1, 300)"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute(write)
