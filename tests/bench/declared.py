"""How fast Orders are in Kubernetes: until the workflow starts, until the status tells, and what they cost.

One scenario of `bench`, on the same stand with an API server and the operator beside the workers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from typing import Any

import asyncpg
from contenders import Orderfleet, start_role
from figures import percentile
from measure import at_once
from meters import cpu_seconds, memory_mib
from multitude import among_finished, among_waiting
from shop_floor import ShopFloor, floor
from stand import Stand

from orderfleet.domain import names
from orderfleet_local.stack import processes

_NEW = 60
"""New Orders, at most, whose cost is measured among waiting ones."""


async def declared(
    stand: Stand, fleet: Orderfleet, *, alone: int, together: int, finished: int = 0, waiting: int = 0
) -> dict[str, Any]:
    """Measure `alone` Orders one after the other, and `together` at once beside as many through the client.

    Then, unless 0, starts of the operator with `finished` and with `waiting` Orders present.
    """
    cluster = await asyncio.to_thread(stand.kubernetes)
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    kubeconfig = str(cluster.kubeconfig)
    operator = start_role(stand.folder, "operator", stand.environment(KUBECONFIG=kubeconfig), "operator").process
    async with floor(cluster.namespace) as shop:
        await _one(shop, f"first-{uuid.uuid4().hex[:8]}")
        result = await _alone(stand, shop, alone)
        began_cpu = cpu_seconds({"operator": [operator]})["operator"]
        result |= await _together(shop, fleet, together)
        used = cpu_seconds({"operator": [operator]})["operator"] - began_cpu
        result |= {"operator_cpu": used * 1000 / together, "operator_memory": memory_mib([operator])}
        await asyncio.to_thread(processes.end, [operator], by=signal.SIGTERM, timeout=30)
        if finished:
            result |= await among_finished(stand, shop, finished, kubeconfig)
        if waiting:
            result |= await among_waiting(stand, shop, waiting, kubeconfig, new=min(together, _NEW))
        return result


async def _alone(stand: Stand, shop: ShopFloor, count: int) -> dict[str, float]:
    started, told = [], []
    before = await shop.patches()
    for _ in range(count):
        name = f"alone-{uuid.uuid4().hex[:10]}"
        accepted = await _one(shop, name)
        description = await stand.client.get_workflow_handle(names.order_workflow_id(name)).describe()
        # The workflow may start before the answer to whoever posted the Order has arrived.
        started.append(max(description.start_time.timestamp() - accepted, 0.0) * 1000)
        told.append((shop.seen[name]["shipped"] - await _recorded(stand, name)) * 1000)
    writes = (await shop.patches() - before) / count
    before = await shop.patches()
    for _ in range(count):
        name = f"reviewed-{uuid.uuid4().hex[:10]}"
        await shop.post(name, review="manual")
        await shop.until(name, "manual_review")
        await shop.approve(name)
        await shop.until_released(name)
    return {
        "accepted_to_started_p50": percentile(started, 50),
        "accepted_to_started_p99": percentile(started, 99),
        "recorded_to_status_p50": percentile(told, 50),
        "recorded_to_status_p99": percentile(told, 99),
        "writes_approved": writes,
        "writes_reviewed": (await shop.patches() - before) / count - 1,
    }


async def _together(shop: ShopFloor, fleet: Orderfleet, count: int) -> dict[str, float]:
    run = uuid.uuid4().hex[:8]
    through_client = await at_once(fleet.order, [f"client-{run}-{number}" for number in range(count)], count)
    order_ids = [f"applied-{run}-{number}" for number in range(count)]
    began = time.perf_counter()
    await asyncio.gather(*(shop.post(order_id) for order_id in order_ids))
    await asyncio.gather(*(shop.until(order_id, "shipped") for order_id in order_ids))
    applied = time.perf_counter() - began
    await asyncio.gather(*(shop.until_released(order_id) for order_id in order_ids))
    return {"applied_together": applied, "started_together": through_client, "together": applied / through_client}


async def _one(shop: ShopFloor, name: str) -> float:
    accepted = await shop.post(name)
    await shop.until(name, "shipped")
    await shop.until_released(name)
    return accepted


async def _recorded(stand: Stand, order_id: str) -> float:
    connection = await asyncpg.connect(stand.database_url)
    try:
        at = await connection.fetchval("select updated_at from orders where order_id = $1", order_id)
    finally:
        await connection.close()
    return float(at.timestamp())
