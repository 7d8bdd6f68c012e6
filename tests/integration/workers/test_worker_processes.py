"""Worker processes: ready, drained on SIGTERM, replaced after SIGKILL."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.status import OrderStatus, Step
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import ports
from support.factories import automatic_order
from support.polling import eventually
from support.role_processes import RoleProcesses


def charges(ledger: Path) -> int:
    # The worker creates the file first and its tables later; until then nothing was charged.
    with sqlite3.connect(ledger) as connection, suppress(sqlite3.OperationalError):
        return connection.execute("select count(*) from payment_entries where kind = 'charge'").fetchone()[0]
    return 0


@pytest.mark.slow
async def test_separate_workers_ship_and_drain_to_zero(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    orders, shipping = await processes.worker("orders"), await processes.worker("shipping")
    await orders.answers("/readyz", 200)
    await shipping.answers("/readyz", 200)
    assert (await orders.answers("/healthz", 200)) == "ok\n"
    assert "python_info" in await orders.answers("/metrics", 200)

    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    await client.start(automatic_order("proc-1", task_queues))
    status: OrderStatus = await temporal_client.get_workflow_handle("order-proc-1", result_type=OrderStatus).result()
    assert status.step is Step.SHIPPED
    assert charges(ledger) == 1

    for worker in (orders, shipping):
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ends() == 0, worker.log.read_text()
        assert "drained" in worker.log.read_text()


@pytest.mark.slow
async def test_sigterm_lets_a_charge_in_progress_finish(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    worker = await processes.worker("all", ORDERFLEET_SIMULATED_LATENCY="1500ms")
    await worker.answers("/readyz", 200)
    handle = temporal_client.get_workflow_handle("order-proc-2", result_type=OrderStatus)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(automatic_order("proc-2", task_queues))
    await eventually(
        handle.describe,
        lambda found: any(a.activity_type.name == "charge" for a in found.raw_description.pending_activities),
    )

    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ends() == 0, worker.log.read_text()
    assert charges(ledger) == 1

    await processes.worker("all")
    status = await handle.result()
    assert (status.step, status.retries) == (Step.SHIPPED, {})
    assert charges(ledger) == 1


async def test_sigkill_between_charge_and_its_record_charges_once(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    worker = await processes.worker("all", ORDERFLEET_SIMULATED_LATENCY="600ms")
    await worker.answers("/readyz", 200)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(automatic_order("proc-3", task_queues))
    await eventually(lambda: asyncio.to_thread(lambda: ledger.exists() and charges(ledger)), lambda count: count == 1)
    worker.process.kill()
    await worker.ends()

    await processes.worker("all")
    status = await temporal_client.get_workflow_handle("order-proc-3", result_type=OrderStatus).result()
    assert status.step is Step.SHIPPED
    assert charges(ledger) == 1


async def test_worker_starts_before_temporal_and_postgres(processes: RoleProcesses) -> None:
    nowhere = f"127.0.0.1:{ports.choose(0)}"
    worker = await processes.worker(
        "orders", ORDERFLEET_TEMPORAL_ADDRESS=nowhere, ORDERFLEET_DATABASE_URL=f"postgresql://x@{nowhere}/x"
    )
    assert (await worker.answers("/readyz", 503)) == "not connected to Temporal yet\n"
    await worker.answers("/healthz", 200)
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ends() == 0, worker.log.read_text()
