"""Workers as the processes that pods run: ready, drained on SIGTERM, replaced after SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.client import OrderClient
from orderfleet.contracts.order import Address, Item, OrderInput, Review, ReviewMode
from orderfleet.contracts.policy import OrderPolicy, StepPolicy
from orderfleet.contracts.status import OrderStatus, Step
from orderfleet.stack import ports

ADDRESS = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")


class WorkerProcess:
    """One `orderfleet worker` process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError) as error:
            return 0, str(error)

    async def answers(self, path: str, status: int) -> str:
        code, text = await until(lambda: asyncio.to_thread(self.get, path), lambda answer: answer[0] == status)
        assert code == status
        return text

    async def ends(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 20)


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], seconds: float = 30) -> Any:
    end = asyncio.get_running_loop().time() + seconds
    while not holds(answer := await ask()):
        assert asyncio.get_running_loop().time() < end, f"still {answer!r}"
        await asyncio.sleep(0.05)
    return answer


class Fleet:
    """Starts worker processes on queues of the test's own."""

    def __init__(self, stack: AsyncExitStack, environment: dict[str, str], folder: Path) -> None:
        self._stack = stack
        self._environment = environment
        self._folder = folder
        self._count = 0

    async def worker(self, kind: str, **environment: str) -> WorkerProcess:
        self._count += 1
        return await self._stack.enter_async_context(self._run(kind, environment))

    @asynccontextmanager
    async def _run(self, kind: str, environment: dict[str, str]) -> AsyncIterator[WorkerProcess]:
        port = ports.choose(0)
        log = self._folder / f"{kind}-{self._count}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "orderfleet", "worker", kind),
                env={**os.environ, **self._environment, **environment, "ORDERFLEET_HEALTH_PORT": str(port)},
                stdout=output,
                stderr=output,
            )
        try:
            yield WorkerProcess(process, port, log)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 20)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def fleet(
    temporal_address: str, postgres_url: str, task_queues: Any, ledger: Path, tmp_path: Path
) -> AsyncIterator[Fleet]:
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }
    async with AsyncExitStack() as stack:
        yield Fleet(stack, environment, tmp_path)


def order(order_id: str, task_queues: Any) -> OrderInput:
    return OrderInput(
        order_id=order_id,
        items=(Item(sku="widget", qty=1, price="5.00"),),
        address=ADDRESS,
        review=Review(mode=ReviewMode.AUTO),
        policy=OrderPolicy(
            shipping_task_queue=task_queues.shipping,
            charge=StepPolicy(attempt_timeout="3s", initial_interval="100ms"),
        ),
    )


def charges(ledger: Path) -> int:
    # The file is there a moment before its tables are.
    with sqlite3.connect(ledger) as books, suppress(sqlite3.OperationalError):
        return books.execute("select count(*) from payment_entries where kind = 'charge'").fetchone()[0]
    return 0


async def test_separate_workers_ship_and_drain_to_zero(
    fleet: Fleet, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    orders, shipping = await fleet.worker("orders"), await fleet.worker("shipping")
    await orders.answers("/readyz", 200)
    await shipping.answers("/readyz", 200)
    assert (await orders.answers("/healthz", 200)) == "ok\n"
    assert "python_info" in await orders.answers("/metrics", 200)

    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    await client.start(order("p-1", task_queues))
    status: OrderStatus = await temporal_client.get_workflow_handle("order-p-1", result_type=OrderStatus).result()
    assert status.step is Step.SHIPPED
    assert charges(ledger) == 1

    for worker in (orders, shipping):
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ends() == 0, worker.log.read_text()
        assert "drained" in worker.log.read_text()


async def test_sigterm_lets_a_charge_under_way_finish(
    fleet: Fleet, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    worker = await fleet.worker("all", ORDERFLEET_SIMULATED_LATENCY="1500ms")
    await worker.answers("/readyz", 200)
    handle = temporal_client.get_workflow_handle("order-p-2", result_type=OrderStatus)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(order("p-2", task_queues))
    await until(
        handle.describe,
        lambda told: any(a.activity_type.name == "charge" for a in told.raw_description.pending_activities),
    )

    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ends() == 0, worker.log.read_text()
    assert charges(ledger) == 1

    await fleet.worker("all")
    status = await handle.result()
    assert (status.step, status.retries) == (Step.SHIPPED, {})
    assert charges(ledger) == 1


async def test_sigkill_between_charge_and_record_charges_once(
    fleet: Fleet, temporal_client: Client, task_queues: Any, ledger: Path
) -> None:
    worker = await fleet.worker("all", ORDERFLEET_SIMULATED_LATENCY="600ms")
    await worker.answers("/readyz", 200)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(order("p-3", task_queues))
    await until(lambda: asyncio.to_thread(lambda: ledger.exists() and charges(ledger)), lambda count: count == 1)
    worker.process.kill()
    await worker.ends()

    await fleet.worker("all")
    status = await temporal_client.get_workflow_handle("order-p-3", result_type=OrderStatus).result()
    assert status.step is Step.SHIPPED
    assert charges(ledger) == 1


async def test_a_worker_starts_before_temporal_and_postgres_do(fleet: Fleet) -> None:
    nowhere = f"127.0.0.1:{ports.choose(0)}"
    worker = await fleet.worker(
        "orders", ORDERFLEET_TEMPORAL_ADDRESS=nowhere, ORDERFLEET_DATABASE_URL=f"postgresql://x@{nowhere}/x"
    )
    assert (await worker.answers("/readyz", 503)) == "not connected to Temporal yet\n"
    await worker.answers("/healthz", 200)
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ends() == 0, worker.log.read_text()
