"""Faults in a running fleet make alerts fire, and mending them makes the alerts clear: each phase a fault or two."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from hurried_rules import hurried
from shop import Shop
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.order import Item
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import ports
from provider_server.process import ProviderServer, provider_server
from support.own_prometheus import Prometheus
from support.worker_processes import WorkerFleet, order, until

PATIENCE = 90
"""Seconds that an alert may take, most of them the operator's 15 s between two surveys and a busy machine."""
MANY = 2000
"""Calls: more than a test makes."""
BURNS = {"OrderfleetShippingBudgetBurns", "OrderfleetShippingBudgetBurnsSlowly"}
API_BURNS = {"OrderfleetApiErrorBudgetBurns", "OrderfleetApiErrorBudgetBurnsSlowly"}
OWED = {"OrderfleetPaymentStuck", "OrderfleetRefundStuck", "OrderfleetOrdersOverdue", "OrderfleetStepFailing"}


@dataclass
class Scene:
    """What a test can break and mend."""

    prometheus: Prometheus
    client: OrderClient
    queues: Any
    policy: OrderPolicy

    async def fire(self, *alerts: str) -> None:
        """Wait until all of them fire."""
        began = time.monotonic()
        await until(self._firing, lambda firing: set(alerts) <= firing, PATIENCE)
        print(f"{', '.join(sorted(alerts))} after {time.monotonic() - began:.0f} s")

    async def clear(self, *alerts: str) -> None:
        """Wait until none of them fires."""
        began = time.monotonic()
        await until(self._firing, lambda firing: not set(alerts) & firing, PATIENCE)
        print(f"no {', '.join(sorted(alerts))} after {time.monotonic() - began:.0f} s")

    async def start(self, name: str, **changes: Any) -> None:
        await self.client.start(order(f"{name}-{self.queues.orders[-8:]}", self.queues, policy=self.policy, **changes))

    async def _firing(self) -> set[str]:
        return await asyncio.to_thread(self.prometheus.firing)


@asynccontextmanager
async def meanwhile(work: Callable[[int], Awaitable[object]], at_once: int = 1) -> AsyncIterator[None]:
    """Do something again and again while the context is open."""

    async def again(first: int) -> None:
        number = first
        while True:
            with suppress(httpx.HTTPError):
                await work(number)
            number += at_once
            await asyncio.sleep(0.3)

    tasks = [asyncio.create_task(again(number)) for number in range(at_once)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProviderServer]:
    with provider_server(tmp_path) as server:
        yield server


@pytest.mark.timeout(600)
async def test_faults_are_told_until_they_are_mended(
    shop: Shop,
    provider: ProviderServer,
    temporal_address: str,
    postgres_url: str,
    temporal_client: Client,
    task_queues: Any,
    tmp_path: Path,
    scraping: Any,
) -> None:
    health, sdk = ports.choose(0), ports.choose(0)
    environment = {
        **_environment(temporal_address, postgres_url, task_queues, shop, sdk),
        "ORDERFLEET_PAYMENT_PROVIDER": "http",
        "ORDERFLEET_PAYMENT_URL": provider.url,
    }
    once = StepPolicy(attempt_timeout="4s", attempts=1)
    often = OutagePolicy(first="1s", longest="1s")
    policy = OrderPolicy(
        shipping_task_queue=task_queues.shipping,
        charge=once,
        dispatch_carrier=once,
        shipping_attempts=1,
        retry_forever_backoff=often,
    )
    async with AsyncExitStack() as stack:
        fleet = WorkerFleet(stack, environment, tmp_path)
        operator, api = await fleet.operator(), await fleet.api(ORDERFLEET_DATABASE_POOL_SIZE="2")
        for process in (operator, api):
            await process.answers("/readyz", 200)
        prometheus = scraping(
            {"sdk": [sdk], "orderfleet": [health, operator.port, api.health_port]}, hurried(task_queues)
        )
        await until(lambda: asyncio.to_thread(prometheus.ready), bool, PATIENCE)
        client = OrderClient(temporal_client, task_queue=task_queues.orders)
        scene = Scene(prometheus, client, task_queues, policy)

        # No worker: orders wait.
        provider.script("/refunds", *["unavailable"] * MANY)
        for number in range(2):
            await scene.start(f"refunded-{number}")
        await scene.fire("OrderfleetNoPollers", "OrderfleetBacklogOld")
        worker = await fleet.worker("all", health, ORDERFLEET_FAULTS="dispatch_carrier:error=1")
        await scene.clear("OrderfleetNoPollers", "OrderfleetBacklogOld")

        # Refunds don't go through, then charges and voids have no answer; and orders fail all the time.
        await scene.fire("OrderfleetRefundStuck")
        provider.script("/charges", *["unavailable"] * MANY)
        provider.script("/voids", *["unavailable"] * MANY)
        await scene.start("stuck", deadline="1s")
        wrong = (Item(sku="widget", qty=0, price="1.00"),)
        async with meanwhile(lambda number: scene.start(f"wrong-{number}", items=wrong)):
            await scene.fire(*OWED, *BURNS)
        for path in ("/charges", "/voids", "/refunds"):
            provider.clear_script(path)
        await scene.clear(*OWED, *BURNS)

        # A table is locked: statements wait, the API answers 503, statuses stand still.
        locking = await asyncpg.connect(postgres_url)
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as caller,
            meanwhile(lambda _: caller.get("/orders", params={"limit": 1}), at_once=10),
        ):
            async with locking.transaction():
                await locking.execute("lock table orders in access exclusive mode")
                await scene.fire("OrderfleetDatabasePoolExhausted", "OrderfleetFeedBehind", *API_BURNS)
            await scene.clear("OrderfleetDatabasePoolExhausted", "OrderfleetFeedBehind", *API_BURNS)
        await locking.close()

        # The operator hangs.
        operator.process.send_signal(signal.SIGSTOP)
        await scene.fire("OrderfleetOperatorStuck")
        operator.process.send_signal(signal.SIGCONT)
        await scene.clear("OrderfleetOperatorStuck")

        # The orphan sweep is paused.
        sweep = temporal_client.get_schedule_handle(names.orphan_sweep_id(task_queues.orders))
        await sweep.pause()
        await scene.fire("OrderfleetOrphanSweepStopped")
        await sweep.unpause()
        await scene.clear("OrderfleetOrphanSweepStopped")

        # Nothing is left over, and a worker that is killed is missed.
        await until(lambda: asyncio.to_thread(prometheus.firing), lambda firing: not firing, PATIENCE)
        worker.process.kill()
        await worker.ends()
        await scene.fire("OrderfleetNoPollers")


@pytest.mark.timeout(400)
async def test_orders_that_do_not_move_and_steps_that_wait_for_a_slot_are_told(
    shop: Shop,
    temporal_address: str,
    postgres_url: str,
    temporal_client: Client,
    task_queues: Any,
    tmp_path: Path,
    scraping: Any,
) -> None:
    health, sdk = ports.choose(0), ports.choose(0)
    patient = StepPolicy(attempt_timeout="10s", initial_interval="500ms", backoff=1, attempts=1000)
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, validation=patient, charge=patient)
    async with AsyncExitStack() as stack:
        environment = _environment(temporal_address, postgres_url, task_queues, shop, sdk)
        fleet = WorkerFleet(stack, environment, tmp_path)
        operator = await fleet.operator()
        stuck = await fleet.worker("all", health, ORDERFLEET_FAULTS="validate:error=1")
        for process in (operator, stuck):
            await process.answers("/readyz", 200)
        prometheus = scraping({"sdk": [sdk], "orderfleet": [health, operator.port]}, hurried(task_queues))
        await until(lambda: asyncio.to_thread(prometheus.ready), bool, PATIENCE)
        client = OrderClient(temporal_client, task_queue=task_queues.orders)
        scene = Scene(prometheus, client, task_queues, policy)

        for number in range(8):
            await scene.start(f"still-{number}")
        await scene.fire("OrderfleetOrdersNotMoving")
        stuck.process.kill()
        await stuck.ends()

        # One slot for all: each charge waits for those before it.
        slow = {"ORDERFLEET_FAULTS": "charge:hang=1,length=3s", "ORDERFLEET_WORKER_ACTIVITY_SLOTS": "1"}
        await fleet.worker("all", health, **slow)
        await scene.fire("OrderfleetScheduleToStartSlow")
        await scene.clear("OrderfleetOrdersNotMoving", "OrderfleetScheduleToStartSlow")


def _environment(temporal_address: str, postgres_url: str, queues: Any, shop: Shop, sdk: int) -> dict[str, str]:
    return {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": queues.orders,
        "SHIPPING_TASK_QUEUE": queues.shipping,
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_OPERATOR_NAMESPACES": shop.cluster.namespace,
        "ORDERFLEET_TEMPORAL_METRICS_PORT": str(sdk),
        "ORDERFLEET_ORPHAN_SWEEP_INTERVAL": "1s",
    }
