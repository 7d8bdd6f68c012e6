"""Measures Orders in Kubernetes: time until the workflow starts, time until the status shows it, and CPU.

It adds an API server and the operator to the stack.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from typing import Any

import asyncpg

from bench.bench_stack import BenchStack
from bench.contenders import Orderfleet, start_role
from bench.figures import percentile
from bench.measure import at_once
from bench.meters import cpu_seconds, memory_mib
from bench.operator_start import measure_start_among_finished, measure_start_among_waiting
from bench.order_resources import OrderResources, order_resources
from orderfleet.domain import names
from orderfleet_local.stack import processes

_NEW = 60
"""Maximum number of new Orders whose cost is measured among waiting ones."""


async def measure_kubernetes_orders(
    stack: BenchStack, fleet: Orderfleet, *, alone: int, together: int, finished: int = 0, waiting: int = 0
) -> dict[str, Any]:
    """Measure Orders that are applied to an API server.

    Args:
        stack: the stack.
        fleet: its workers.
        alone: Orders one after the other.
        together: Orders at once, and as many through the client.
        finished: finished Orders present at a start of the operator; 0 skips it.
        waiting: waiting Orders present at a start of the operator; 0 skips it.

    Returns:
        Values by the names in `figures`.
    """
    cluster = await asyncio.to_thread(stack.kubernetes)
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    kubeconfig = str(cluster.kubeconfig)
    operator = start_role(stack.folder, "operator", stack.environment(KUBECONFIG=kubeconfig), "operator").process
    async with order_resources(cluster.namespace) as resources:
        await _one(resources, f"first-{uuid.uuid4().hex[:8]}")
        result = await _alone(stack, resources, alone)
        began_cpu = cpu_seconds({"operator": [operator]})["operator"]
        result |= await _together(resources, fleet, together)
        used = cpu_seconds({"operator": [operator]})["operator"] - began_cpu
        result |= {"operator_cpu": used * 1000 / together, "operator_memory": memory_mib([operator])}
        await asyncio.to_thread(processes.end, [operator], by=signal.SIGTERM, timeout=30)
        if finished:
            result |= await measure_start_among_finished(stack, resources, finished, kubeconfig)
        if waiting:
            result |= await measure_start_among_waiting(stack, resources, waiting, kubeconfig, new=min(together, _NEW))
        return result


async def _alone(stack: BenchStack, resources: OrderResources, count: int) -> dict[str, float]:
    started, shown = [], []
    before = await resources.patches()
    for _ in range(count):
        name = f"alone-{uuid.uuid4().hex[:10]}"
        accepted = await _one(resources, name)
        description = await stack.client.get_workflow_handle(names.order_workflow_id(name)).describe()
        # The workflow may start before the client has the API server's response.
        started.append(max(description.start_time.timestamp() - accepted, 0.0) * 1000)
        shown.append((resources.seen[name]["shipped"] - await _recorded(stack, name)) * 1000)
    writes = (await resources.patches() - before) / count
    before = await resources.patches()
    for _ in range(count):
        name = f"reviewed-{uuid.uuid4().hex[:10]}"
        await resources.post(name, review="manual")
        await resources.until(name, "manual_review")
        await resources.approve(name)
        await resources.until_released(name)
    return {
        "accepted_to_started_p50": percentile(started, 50),
        "accepted_to_started_p99": percentile(started, 99),
        "recorded_to_status_p50": percentile(shown, 50),
        "recorded_to_status_p99": percentile(shown, 99),
        "writes_approved": writes,
        "writes_reviewed": (await resources.patches() - before) / count - 1,
    }


async def _together(resources: OrderResources, fleet: Orderfleet, count: int) -> dict[str, float]:
    run = uuid.uuid4().hex[:8]
    through_client = await at_once(fleet.order, [f"client-{run}-{number}" for number in range(count)], count)
    order_ids = [f"applied-{run}-{number}" for number in range(count)]
    began = time.perf_counter()
    await asyncio.gather(*(resources.post(order_id) for order_id in order_ids))
    await asyncio.gather(*(resources.until(order_id, "shipped") for order_id in order_ids))
    applied = time.perf_counter() - began
    await asyncio.gather(*(resources.until_released(order_id) for order_id in order_ids))
    return {"applied_together": applied, "started_together": through_client, "together": applied / through_client}


async def _one(resources: OrderResources, name: str) -> float:
    accepted = await resources.post(name)
    await resources.until(name, "shipped")
    await resources.until_released(name)
    return accepted


async def _recorded(stack: BenchStack, order_id: str) -> float:
    connection = await asyncpg.connect(stack.database_url)
    try:
        at = await connection.fetchval("select updated_at from orders where order_id = $1", order_id)
    finally:
        await connection.close()
    return float(at.timestamp())
