"""Faults in running processes make alerts fire, and mending them makes the alerts clear."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from temporalio.client import Client

from orderfleet.client import OrderClient
from orderfleet.contracts.policy import OrderPolicy, StepPolicy
from orderfleet.stack import paths, ports
from own_prometheus import Prometheus
from worker_processes import WorkerFleet, order, until

RULES = paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"
HEALTHY = {"OrderfleetOperatorStuck"}
"""No operator runs here."""


def hurried(queues: Any) -> str:
    """The rules on the test's queues, with windows of seconds for those of minutes."""
    text = RULES.read_text().replace("orders-tq", queues.orders).replace("shipping-tq", queues.shipping)
    return re.sub(r"\[5m\]", "[15s]", re.sub(r"for: \d+m", "for: 2s", text))


async def fires(prometheus: Prometheus, alert: str, *, now: bool) -> None:
    await until(lambda: asyncio.to_thread(prometheus.firing), lambda firing: (alert in firing) is now, 90)


async def test_workers_that_are_gone_and_steps_that_fail_are_told_until_they_are_mended(
    temporal_address: str, postgres_url: str, temporal_client: Client, task_queues: Any, tmp_path: Path, scraping: Any
) -> None:
    health, sdk = ports.choose(0), ports.choose(0)
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_TEMPORAL_METRICS_PORT": str(sdk),
    }
    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    often = StepPolicy(attempt_timeout="2s", initial_interval="100ms", backoff=1, attempts=1000)
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, charge=often)
    async with AsyncExitStack() as stack:
        fleet = WorkerFleet(stack, environment, tmp_path)
        prometheus = scraping({"sdk": [sdk], "orderfleet": [health]}, hurried(task_queues))
        await until(lambda: asyncio.to_thread(prometheus.ready), bool)
        await fires(prometheus, "OrderfleetNoPollers", now=True)

        broken = await fleet.worker("all", health, ORDERFLEET_FAULTS="charge:error=1")
        await broken.answers("/readyz", 200)
        await client.start(order("alarming", task_queues, policy=policy))
        await fires(prometheus, "OrderfleetNoPollers", now=False)
        await fires(prometheus, "OrderfleetStepFailing", now=True)
        broken.process.kill()
        await broken.ends()
        await fires(prometheus, "OrderfleetNoPollers", now=True)

        mended = await fleet.worker("all", health)
        await mended.answers("/readyz", 200)
        await fires(prometheus, "OrderfleetNoPollers", now=False)
        await fires(prometheus, "OrderfleetStepFailing", now=False)
        assert prometheus.firing() <= HEALTHY
