"""Measures one and two order workers with a slow provider and few slots, and the time to a worker's first task.

Slots must be the bottleneck, not the machine: use few slots on few cores.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from statistics import median
from typing import Any

from temporalio.api.enums.v1 import EventType

from bench.bench_stack import BenchStack
from bench.contenders import Orderfleet, settings_of, start_orderfleet, start_role
from bench.measure import at_once, warm_up
from orderfleet.domain import names
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import processes


async def measure_scaling(
    stack: BenchStack, *, rounds: int, orders: int, slots: int, latency_ms: int
) -> dict[str, Any]:
    """Measure orders per second with one and with two order workers, in interleaved rounds, on separate queues.

    Args:
        stack: the stack.
        rounds: number of rounds.
        orders: of a round.
        slots: activities that a worker runs at once.
        latency_ms: of the payment provider.
    """
    slow = {
        "ORDERFLEET_SIMULATED_LATENCY": f"{latency_ms}ms",
        "ORDERFLEET_WORKER_ACTIVITY_SLOTS": str(slots),
    }
    one, two = (_fleet(stack, f"fleet {count}", count, slow) for count in (1, 2))
    for fleet in (one, two):
        await warm_up(fleet, 20)
    rates = [(await _rate(one, orders), await _rate(two, orders)) for _ in range(rounds)]
    return {
        "one_worker": median(rate for rate, _ in rates),
        "two_workers": median(rate for _, rate in rates),
        "two_to_one": median(other / rate for rate, other in rates),
        "most_by_slots": slots * 1000 / latency_ms,
    }


async def measure_worker_start(stack: BenchStack, *, times: int) -> dict[str, Any]:
    """Measure the seconds from a worker's start to its first workflow task while an order waits."""
    seconds = [await _start(stack) for _ in range(times)]
    return {"start_to_first_task": median(seconds), "start_to_first_task_most": max(seconds)}


async def _start(stack: BenchStack) -> float:
    unique = uuid.uuid4().hex[:8]
    environment = stack.environment(ORDERS_TASK_QUEUE=f"start-{unique}", SHIPPING_TASK_QUEUE=f"unserved-{unique}")
    waiting = Orderfleet(stack.client, settings_of(environment), [], [])
    await OrderClient.of(stack.client, waiting.settings).start(waiting.input(unique))
    spawned = time.time()
    worker = await asyncio.to_thread(start_role, stack.folder, "orders-worker", environment, f"start-{unique}")
    try:
        handle = stack.client.get_workflow_handle(names.order_workflow_id(unique))
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                return event.event_time.ToNanoseconds() / 1e9 - spawned
        raise AssertionError("a history ends with the end of its workflow")
    finally:
        await asyncio.to_thread(processes.end, [worker.process], by=signal.SIGTERM, timeout=30)


def _fleet(stack: BenchStack, name: str, order_workers: int, slow: dict[str, str]) -> Orderfleet:
    queue = name.replace(" ", "-")
    environment = stack.environment(ORDERS_TASK_QUEUE=f"orders-{queue}", SHIPPING_TASK_QUEUE=f"shipping-{queue}")
    return start_orderfleet(
        stack.folder, stack.client, environment, name=name, order_workers=order_workers, for_orders=slow
    )


async def _rate(fleet: Orderfleet, orders: int) -> float:
    run = uuid.uuid4().hex[:8]
    return orders / await at_once(fleet.order, [f"s-{run}-{number}" for number in range(orders)], 100)
