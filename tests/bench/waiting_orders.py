"""Measures memory, time and CPU of orders while rising numbers of others wait for a review, all in real workflows."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg

from bench.bench_stack import BenchStack
from bench.contenders import Orderfleet
from bench.figures import percentile
from bench.measure import at_once
from bench.meters import cpu_seconds, memory_mib
from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.status import Step
from support.polling import eventually

_STARTING = 40
_TIMEOUT = 900


async def measure_waiting_orders(stack: BenchStack, fleet: Orderfleet, *, most: int, orders: int) -> dict[str, Any]:
    """Measure orders with none, a fifth and all of `most` others waiting for a review.

    Args:
        stack: the stack.
        fleet: its workers.
        most: maximum number of waiting orders.
        orders: orders with 50 at once; a fifth of them run one by one.

    Returns:
        Values by the names in `figures`.
    """
    levels: list[dict[str, float]] = []
    for level in (0, most // 5, most):
        present = int(levels[-1]["waiting"]) if levels else 0
        began = _cpu(stack, fleet)
        seconds = await _fill(stack, fleet, present, level)
        filled = _cpu(stack, fleet)
        cost = (filled["temporal"] - began["temporal"]) * 1000 / max(1, level - present)
        levels.append(
            {"waiting": level, "to_wait": seconds, "cpu_to_wait": cost, **await _measured(stack, fleet, orders)}
        )
    none, last = levels[0], levels[-1]
    return {
        "waited_orders": most,
        "waited_levels": levels,
        "waited_memory_each": (last["memory_workers"] - none["memory_workers"]) * 1024 / most,
        "waited_temporal_each": (last["memory_temporal"] - none["memory_temporal"]) * 1024 / most,
        "waited_rate": last["rate"] / none["rate"],
        "waited_alone": last["alone_p50"] / none["alone_p50"],
        "waited_cpu_workers": last["cpu_workers"] / none["cpu_workers"],
        "waited_cpu_temporal": last["cpu_temporal"] / none["cpu_temporal"],
        "waited_cpu_postgres": last["cpu_postgres"] / none["cpu_postgres"],
    }


async def _fill(stack: BenchStack, fleet: Orderfleet, present: int, level: int) -> float:
    """Start orders until `level` wait; seconds until the order store shows that all do."""
    run = uuid.uuid4().hex[:8]

    async def start(order_id: str) -> None:
        await fleet.start(fleet.input(order_id).model_copy(update={"review": Review(mode=ReviewMode.MANUAL)}))

    seconds = await at_once(start, [f"waits-{run}-{number}" for number in range(level - present)], _STARTING)
    began = asyncio.get_running_loop().time()
    connection = await asyncpg.connect(stack.database_url)
    try:
        question = "select count(*) from orders where step = $1"
        await eventually(
            lambda: connection.fetchval(question, Step.MANUAL_REVIEW), lambda count: count >= level, _TIMEOUT, 0.2
        )
    finally:
        await connection.close()
    return seconds + asyncio.get_running_loop().time() - began


async def _measured(stack: BenchStack, fleet: Orderfleet, orders: int) -> dict[str, float]:
    run = uuid.uuid4().hex[:8]
    before = _cpu(stack, fleet)
    seconds = await at_once(fleet.order, [f"b-{run}-{number}" for number in range(orders)], 50)
    after = _cpu(stack, fleet)
    alone = [await at_once(fleet.order, [f"a-{run}-{number}"], 1) * 1000 for number in range(max(1, orders // 5))]
    return {
        "rate": orders / seconds,
        "alone_p50": percentile(alone, 50),
        **{f"cpu_{name}": (after[name] - before[name]) * 1000 / orders for name in before},
        "memory_workers": memory_mib(fleet.workers),
        "memory_temporal": memory_mib([stack.temporal]),
    }


def _cpu(stack: BenchStack, fleet: Orderfleet) -> dict[str, float]:
    return cpu_seconds({"workers": fleet.workers, "temporal": [stack.temporal], "postgres": [stack.postgres]})
