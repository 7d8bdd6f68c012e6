"""Measures 1, 2, 4 … order workers against a stub of Temporal, so that the server is not the bottleneck.

The workers are the product's own processes over a real, durable Postgres. One and two workers also run against the
real server, with the same slots, which shows how close the stub is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bench.bench_stack import BenchStack
from bench.contenders import start_orderfleet, start_role
from bench.measure import at_once, warm_up
from bench.meters import cpu_seconds
from bench.recorded_order import Recording
from bench.scaling import measure_scaling
from bench.server_stub import ServerStub, listening
from orderfleet.domain import names
from orderfleet_local.stack import processes

_MAXIMUM_LOAD = 100
"""Orders in progress at once when the maximum of one worker is measured."""


async def measure_many_workers(
    stack: BenchStack, *, counts: Sequence[int], orders: int, slots: int, latency_ms: int, server_ms: int
) -> dict[str, Any]:
    """Measure each number of workers.

    Args:
        stack: the stack.
        counts: numbers of order workers.
        orders: orders for each worker.
        slots: activities that a worker runs at once.
        latency_ms: of the payment provider.
        server_ms: the stub's latency per call.

    Returns:
        Values by the names in `figures`.
    """
    recording = await _recorded(stack)
    slow = {"ORDERFLEET_SIMULATED_LATENCY": f"{latency_ms}ms", "ORDERFLEET_WORKER_ACTIVITY_SLOTS": str(slots)}
    flat_out = await _against_stub(stack, recording, 1, 4 * orders, _MAXIMUM_LOAD, {}, server_ms)
    fleets = [
        await _against_stub(stack, recording, count, count * orders, 3 * slots * count, slow, server_ms)
        for count in counts
    ]
    real = await measure_scaling(stack, rounds=1, orders=2 * orders, slots=slots, latency_ms=latency_ms)
    one, most = fleets[0], fleets[-1]
    return {
        "slots": slots,
        "latency_ms": latency_ms,
        "server_ms": server_ms,
        "fleets": fleets,
        "flat_out": flat_out["rate"],
        "flat_out_cpu": flat_out["cpu"],
        "fleet_workers": most["workers"],
        "fleet_one": one["rate"],
        "fleet_rate": most["rate"],
        "fleet_scales": most["rate"] * one["workers"] / (one["rate"] * most["workers"]),
        "fleet_cpu": most["cpu"] / one["cpu"],
        "fleet_server_one": real["one_worker"],
        "fleet_server_two": real["two_workers"],
    }


async def _recorded(stack: BenchStack) -> Recording:
    """The history of one order that the product's workers ran on the real server."""
    unique = uuid.uuid4().hex[:6]
    environment = stack.environment(ORDERS_TASK_QUEUE=f"orders-{unique}", SHIPPING_TASK_QUEUE=f"shipping-{unique}")
    fleet = start_orderfleet(stack.folder, stack.client, environment, name=f"recorded-{unique}")
    await warm_up(fleet, 10)
    order_id = _name()
    await fleet.order(order_id)
    handle = stack.client.get_workflow_handle(names.order_workflow_id(order_id))
    history = await handle.fetch_history()
    await asyncio.to_thread(processes.end, fleet.workers, by=signal.SIGTERM, timeout=30)
    return Recording.of(order_id, history)


async def _against_stub(
    stack: BenchStack,
    recording: Recording,
    count: int,
    orders: int,
    at_a_time: int,
    settings: dict[str, str],
    server_ms: int,
) -> dict[str, float]:
    queue = f"stub-{uuid.uuid4().hex[:6]}"
    stub = ServerStub(recording, queue, server_ms / 1000)
    async with listening(stub) as address:
        environment = stack.environment(ORDERFLEET_TEMPORAL_ADDRESS=address, ORDERS_TASK_QUEUE=queue, **settings)
        workers = [
            (
                await asyncio.to_thread(start_role, stack.folder, "orders-worker", environment, f"{queue}-{number}")
            ).process
            for number in range(count)
        ]
        try:
            await at_once(stub.order, [_name() for _ in range(5 * count)], at_a_time)
            parts = {"workers": workers, "postgres": [stack.postgres]}
            before, own = cpu_seconds(parts), time.process_time()
            seconds = await at_once(stub.order, [_name() for _ in range(orders)], at_a_time)
            own, used = time.process_time() - own, cpu_seconds(parts)
        finally:
            await asyncio.to_thread(processes.end, workers, by=signal.SIGTERM, timeout=30)
    busy = own + sum(used[name] - before[name] for name in parts)
    return {
        "workers": count,
        "rate": orders / seconds,
        "cpu": (used["workers"] - before["workers"]) * 1000 / orders,
        "cpu_postgres": (used["postgres"] - before["postgres"]) * 1000 / orders,
        "cpu_stub": own * 1000 / orders,
        "machine": busy / seconds / (os.cpu_count() or 1),
    }


def _name() -> str:
    return f"stub-{uuid.uuid4().hex[:12]}"
