"""The operator's process: readiness, SIGTERM, SIGKILL, metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from integration.operator.shop import ended, manifest, step
from orderfleet.observability.metrics import CATALOG, Exposer
from support.metric_samples import scrape


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@asynccontextmanager
async def process(shop, log: Path, selector: str = "") -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """An operator process and the address of its health port."""
    settings, port = shop.settings, _free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(shop.cluster.kubeconfig),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ORDERFLEET_TEMPORAL_ADDRESS": settings.temporal_address,
        "ORDERFLEET_ORDERS_TASK_QUEUE": settings.orders_task_queue,
        "ORDERFLEET_SHIPPING_TASK_QUEUE": settings.shipping_task_queue,
        "ORDERFLEET_OPERATOR_NAMESPACES": settings.operator_namespaces,
        "ORDERFLEET_OPERATOR_SELECTOR": selector,
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_HEALTH_PORT": str(port),
    }
    with log.open("ab") as written:
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orderfleet", "operator", env=environment, stdout=written, stderr=written
        )
    try:
        yield made, f"http://127.0.0.1:{port}"
    finally:
        if made.returncode is None:
            made.kill()
        await made.wait()


async def until_ready(url: str, seconds: float = 60) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(seconds):
        while True:
            try:
                async with session.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def test_operator_becomes_ready_and_exits_with_0_on_sigterm(shop, workers, tmp_path):
    log = tmp_path / "operator.log"
    name = shop.name()
    async with process(shop, log) as (operator, url):
        await until_ready(url)
        await shop.apply(manifest(name, approved=True))
        await shop.until(name, ended)
        begun = asyncio.get_running_loop().time()
        operator.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(operator.wait(), 30) == 0, log.read_text()
        assert asyncio.get_running_loop().time() - begun < 15
    assert "Traceback" not in log.read_text()


async def test_operator_after_kill_of_another_ships_all_orders(shop, workers, tmp_path):
    names = [shop.name() for _ in range(8)]
    log = tmp_path / "operator.log"
    async with process(shop, log) as (operator, url):
        await until_ready(url)
        await shop.apply(*(manifest(name, approved=number % 2 == 0) for number, name in enumerate(names)))
        operator.kill()
    async with process(shop, log) as (_, url):
        await until_ready(url)
        for number, name in enumerate(names):
            if number % 2:
                await shop.until(name, lambda order: step(order) == "manual_review")
                await shop.patch(name, approved=True)
        for name in names:
            assert step(await shop.until(name, ended)) == "shipped"
    assert workers.provider.charges == {f"pay-{name}": 1 for name in names}


async def test_operator_exposes_metrics(shop, workers, tmp_path):
    waits, ships = shop.name(), shop.name()
    async with process(shop, tmp_path / "operator.log") as (_, url):
        await until_ready(url)
        await shop.apply(manifest(waits), manifest(ships, approved=True))
        await shop.until(ships, ended)
        await shop.until(waits, lambda order: step(order) == "manual_review")
        samples = await asyncio.to_thread(scrape, f"{url}/metrics")
    assert samples("orderfleet_operator_orders", step="manual_review") == 1
    assert samples("orderfleet_operator_orders") <= 2
    assert samples("orderfleet_operator_reconciles_total", result="ok") >= 2
    reconciliations = samples("orderfleet_operator_reconcile_api_calls_count")
    assert reconciliations == samples("orderfleet_operator_reconciles_total")
    patches = samples("orderfleet_operator_api_calls_total", verb="patch", status="200")
    assert 4 <= patches <= samples("orderfleet_operator_reconcile_api_calls_sum")
    assert samples("orderfleet_change_feed_changes_total") >= 2
    assert samples.labels("orderfleet_open_orders", "step") >= {"manual_review", "charge", "shipping"}
    assert samples.labels("orderfleet_open_payment_oldest_seconds", "status") == {"init", "charged", "refunding"}
    assert samples.labels("orderfleet_queue_backlog", "kind") == {"workflow", "activity"}
    assert 0 <= samples("orderfleet_change_feed_lag_seconds") < 15
    assert samples("orderfleet_database_operation_duration_seconds_count", operation="orders", outcome="ok") >= 1
    unlabelled = {metric.name for metric in CATALOG if Exposer.OPERATOR in metric.roles and not metric.labels}
    assert {name for name in unlabelled if metric_kind(name) != "histogram"} <= samples.names()


def metric_kind(name: str) -> str:
    return next(metric.kind for metric in CATALOG if metric.name == name)
