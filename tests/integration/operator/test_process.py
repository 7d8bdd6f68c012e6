"""The operator's process: readiness, SIGTERM, SIGKILL, metrics."""

from __future__ import annotations

import asyncio
import signal

import pytest

from orderfleet.observability.metric_specs import Exposer
from orderfleet.observability.metrics import CATALOG
from support.factories import order_manifest
from support.metric_samples import scrape
from support.operator_env import ended, step


@pytest.mark.slow
async def test_operator_becomes_ready_and_exits_with_0_on_sigterm(operator_env, workers, processes):
    name = operator_env.name()
    operator = await processes.operator()
    await operator.answers("/readyz", 200)
    await operator_env.apply(order_manifest(name, approved=True))
    await operator_env.until(name, ended)
    begun = asyncio.get_running_loop().time()
    operator.process.send_signal(signal.SIGTERM)
    assert await operator.ends() == 0, operator.log.read_text()
    assert asyncio.get_running_loop().time() - begun < 15
    assert "Traceback" not in operator.log.read_text()


@pytest.mark.slow
async def test_operator_after_kill_of_another_ships_all_orders(operator_env, workers, processes):
    names = [operator_env.name() for _ in range(8)]
    killed = await processes.operator()
    await killed.answers("/readyz", 200)
    await operator_env.apply(*(order_manifest(name, approved=number % 2 == 0) for number, name in enumerate(names)))
    killed.process.kill()
    await killed.ends()
    await (await processes.operator()).answers("/readyz", 200)
    for number, name in enumerate(names):
        if number % 2:
            await operator_env.until(name, lambda order: step(order) == "manual_review")
            await operator_env.patch(name, approved=True)
    for name in names:
        assert step(await operator_env.until(name, ended)) == "shipped"
    assert workers.provider.charges == {f"pay-{name}": 1 for name in names}


async def test_operator_exposes_metrics(operator_env, workers, processes):
    waits, ships = operator_env.name(), operator_env.name()
    operator = await processes.operator()
    await operator.answers("/readyz", 200)
    await operator_env.apply(order_manifest(waits), order_manifest(ships, approved=True))
    await operator_env.until(ships, ended)
    await operator_env.until(waits, lambda order: step(order) == "manual_review")
    samples = await asyncio.to_thread(scrape, f"http://127.0.0.1:{operator.port}/metrics")
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
