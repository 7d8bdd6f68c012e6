"""Each alert fires on a real fault in a running fleet, and clears when the fault is removed."""

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
from temporalio.client import Client

from observability.fast_rules import fast_rules
from orderfleet.domain import names
from orderfleet.domain.order import Item
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import ports
from provider_server.process import ProviderServer, provider_server
from support.factories import automatic_order
from support.operator_env import OperatorTestEnv
from support.own_prometheus import Prometheus
from support.polling import eventually
from support.role_processes import RoleProcesses
from support.sample_rows import payment

TIMEOUT = 90
"""Seconds for an alert, including the 15 s between two backlog samples of the operator."""
MANY = 2000
"""More calls than a test makes."""
BURNS = {"OrderfleetShippingBudgetBurns", "OrderfleetShippingBudgetBurnsSlowly"}
API_BURNS = {"OrderfleetApiErrorBudgetBurns", "OrderfleetApiErrorBudgetBurnsSlowly"}
PENDING_MONEY = {"OrderfleetPaymentStuck", "OrderfleetRefundStuck", "OrderfleetOrdersOverdue", "OrderfleetStepFailing"}


@dataclass
class FaultScenario:
    """Starts orders, and waits for alerts to fire and to clear."""

    prometheus: Prometheus
    client: OrderClient
    queues: Any
    policy: OrderPolicy

    async def fire(self, *alerts: str) -> None:
        """Wait until all of them fire."""
        began = time.monotonic()
        await eventually(self._firing, lambda firing: set(alerts) <= firing, TIMEOUT)
        print(f"{', '.join(sorted(alerts))} after {time.monotonic() - began:.0f} s")

    async def clear(self, *alerts: str) -> None:
        """Wait until none of them fires."""
        began = time.monotonic()
        await eventually(self._firing, lambda firing: not set(alerts) & firing, TIMEOUT)
        print(f"no {', '.join(sorted(alerts))} after {time.monotonic() - began:.0f} s")

    async def start(self, name: str, **changes: Any) -> None:
        await self.client.start(
            automatic_order(f"{name}-{self.queues.orders[-8:]}", self.queues, policy=self.policy, **changes)
        )

    async def _firing(self) -> set[str]:
        return await asyncio.to_thread(self.prometheus.firing)


@asynccontextmanager
async def repeatedly(work: Callable[[int], Awaitable[object]], at_once: int = 1) -> AsyncIterator[None]:
    """Repeat `work` within the context.

    Args:
        work: receives a number.
        at_once: number of concurrent calls.
    """

    async def repeat(first: int) -> None:
        number = first
        while True:
            with suppress(httpx.HTTPError):
                await work(number)
            number += at_once
            await asyncio.sleep(0.3)

    tasks = [asyncio.create_task(repeat(number)) for number in range(at_once)]
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
async def test_alerts_fire_while_a_fault_lasts_and_clear_afterwards(
    operator_env: OperatorTestEnv,
    provider: ProviderServer,
    role_environment: dict[str, str],
    postgres_url: str,
    temporal_client: Client,
    task_queues: Any,
    tmp_path: Path,
    scraping: Any,
) -> None:
    health, sdk = ports.choose(0), ports.choose(0)
    environment = {
        **_environment(role_environment, operator_env, sdk),
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
        processes = RoleProcesses(stack, environment, tmp_path)
        operator, api = await processes.operator(), await processes.api(ORDERFLEET_DATABASE_POOL_SIZE="2")
        for process in (operator, api):
            await process.answers("/readyz", 200)
        prometheus = scraping(
            {"sdk": [sdk], "orderfleet": [health, operator.port, api.health_port]}, fast_rules(task_queues)
        )
        await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, TIMEOUT)
        client = OrderClient(temporal_client, task_queue=task_queues.orders)
        scenario = FaultScenario(prometheus, client, task_queues, policy)

        # No worker: orders wait.
        provider.script("/refunds", *["unavailable"] * MANY)
        for number in range(2):
            await scenario.start(f"refunded-{number}")
        await scenario.fire("OrderfleetNoPollers", "OrderfleetBacklogOld")
        worker = await processes.worker("all", health, ORDERFLEET_FAULTS="dispatch_carrier:error=1")
        await scenario.clear("OrderfleetNoPollers", "OrderfleetBacklogOld")

        # Refunds fail, then charges and voids get no answer; and orders fail all the time.
        await scenario.fire("OrderfleetRefundStuck")
        provider.script("/charges", *["unavailable"] * MANY)
        provider.script("/voids", *["unavailable"] * MANY)
        await scenario.start("stuck", deadline="1s")
        wrong = (Item(sku="widget", qty=0, price="1.00"),)
        async with repeatedly(lambda number: scenario.start(f"wrong-{number}", items=wrong)):
            await scenario.fire(*PENDING_MONEY, *BURNS)
        for path in ("/charges", "/voids", "/refunds"):
            provider.clear_script(path)
        await scenario.clear(*PENDING_MONEY, *BURNS)

        # A table is locked: statements wait, the API answers 503, statuses do not change.
        locking = await asyncpg.connect(postgres_url)
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as caller,
            repeatedly(lambda _: caller.get("/orders", params={"limit": 1}), at_once=10),
        ):
            async with locking.transaction():
                await locking.execute("lock table orders in access exclusive mode")
                await scenario.fire("OrderfleetDatabasePoolExhausted", "OrderfleetFeedBehind", *API_BURNS)
            await scenario.clear("OrderfleetDatabasePoolExhausted", "OrderfleetFeedBehind", *API_BURNS)
        await locking.close()

        # The operator hangs.
        operator.process.send_signal(signal.SIGSTOP)
        await scenario.fire("OrderfleetOperatorStuck")
        operator.process.send_signal(signal.SIGCONT)
        await scenario.clear("OrderfleetOperatorStuck")

        # The orphan sweep is paused.
        sweep = temporal_client.get_schedule_handle(names.orphan_sweep_id(task_queues.orders))
        await sweep.pause()
        await scenario.fire("OrderfleetOrphanSweepStopped")
        await sweep.unpause()
        await scenario.clear("OrderfleetOrphanSweepStopped")

        # No alert remains, and a killed worker fires one.
        await eventually(lambda: asyncio.to_thread(prometheus.firing), lambda firing: not firing, TIMEOUT)
        worker.process.kill()
        await worker.ends()
        await scenario.fire("OrderfleetNoPollers")


@pytest.mark.timeout(400)
async def test_alerts_fire_for_blocked_orders_and_for_steps_that_wait_for_a_slot(
    operator_env: OperatorTestEnv,
    role_environment: dict[str, str],
    temporal_client: Client,
    task_queues: Any,
    tmp_path: Path,
    scraping: Any,
) -> None:
    health, sdk = ports.choose(0), ports.choose(0)
    many_attempts = StepPolicy(attempt_timeout="10s", initial_interval="500ms", backoff=1, attempts=1000)
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, validation=many_attempts, charge=many_attempts)
    async with AsyncExitStack() as stack:
        environment = _environment(role_environment, operator_env, sdk)
        processes = RoleProcesses(stack, environment, tmp_path)
        operator = await processes.operator()
        blocked = await processes.worker("all", health, ORDERFLEET_FAULTS="validate:error=1")
        for process in (operator, blocked):
            await process.answers("/readyz", 200)
        prometheus = scraping({"sdk": [sdk], "orderfleet": [health, operator.port]}, fast_rules(task_queues))
        await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, TIMEOUT)
        client = OrderClient(temporal_client, task_queue=task_queues.orders)
        scenario = FaultScenario(prometheus, client, task_queues, policy)

        for number in range(8):
            await scenario.start(f"still-{number}")
        await scenario.fire("OrderfleetOrdersNotMoving")
        blocked.process.kill()
        await blocked.ends()

        # One slot: each charge waits for those before it.
        slow = {"ORDERFLEET_FAULTS": "charge:hang=1,length=3s", "ORDERFLEET_WORKER_ACTIVITY_SLOTS": "1"}
        await processes.worker("all", health, **slow)
        await scenario.fire("OrderfleetScheduleToStartSlow")
        await scenario.clear("OrderfleetOrdersNotMoving", "OrderfleetScheduleToStartSlow")


@pytest.mark.timeout(400)
async def test_alert_fires_while_the_ledger_and_the_payment_provider_differ(
    operator_env: OperatorTestEnv,
    role_environment: dict[str, str],
    temporal_client: Client,
    task_queues: Any,
    tmp_path: Path,
    scraping: Any,
) -> None:
    health, sdk, ledger = ports.choose(0), ports.choose(0), tmp_path / "ledger.db"
    environment = {
        **_environment(role_environment, operator_env, sdk),
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_RECONCILIATION_INTERVAL": "1s",
        "ORDERFLEET_RECONCILIATION_GRACE": "0s",
    }
    async with AsyncExitStack() as stack:
        processes = RoleProcesses(stack, environment, tmp_path)
        operator, worker = await processes.operator(), await processes.worker("all", health)
        for process in (operator, worker):
            await process.answers("/readyz", 200)
        prometheus = scraping({"sdk": [sdk], "orderfleet": [health, operator.port]}, fast_rules(task_queues))
        await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, TIMEOUT)
        client = OrderClient(temporal_client, task_queue=task_queues.orders)
        scenario = FaultScenario(prometheus, client, task_queues, OrderPolicy(shipping_task_queue=task_queues.shipping))
        provider = SimulatedPayments(ledger=ledger)

        await provider.charge(payment("unknown"))
        await scenario.fire("OrderfleetPaymentDifferences")
        await provider.void(payment("unknown"))
        await scenario.clear("OrderfleetPaymentDifferences")


def _environment(role_environment: dict[str, str], operator_env: OperatorTestEnv, sdk: int) -> dict[str, str]:
    return {
        **role_environment,
        "ORDERFLEET_OPERATOR_NAMESPACES": operator_env.cluster.namespace,
        "ORDERFLEET_TEMPORAL_METRICS_PORT": str(sdk),
        "ORDERFLEET_ORPHAN_SWEEP_INTERVAL": "1s",
    }
