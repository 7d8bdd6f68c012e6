"""Two order workers beside one with a slow provider and few slots, and how soon a new worker does its first task.

One scenario of `bench`. Slots have to be what binds, not the machine: on few cores take few of them.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from statistics import median
from typing import Any

from contenders import Orderfleet, settings_of, start_orderfleet, start_role
from measure import at_once, warm_up
from stand import Stand
from temporalio.api.enums.v1 import EventType

from orderfleet.domain import names
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import processes


async def scaling(stand: Stand, *, rounds: int, orders: int, slots: int, latency_ms: int) -> dict[str, Any]:
    """Orders a second with one and with two order workers, in interleaved rounds, each on queues of its own."""
    slow = {
        "ORDERFLEET_SIMULATED_LATENCY": f"{latency_ms}ms",
        "ORDERFLEET_WORKER_ACTIVITY_SLOTS": str(slots),
    }
    one, two = (_fleet(stand, f"fleet {count}", count, slow) for count in (1, 2))
    for fleet in (one, two):
        await warm_up(fleet, 20)
    rates = [(await _rate(one, orders), await _rate(two, orders)) for _ in range(rounds)]
    return {
        "one_worker": median(rate for rate, _ in rates),
        "two_workers": median(rate for _, rate in rates),
        "two_to_one": median(other / rate for rate, other in rates),
        "most_by_slots": slots * 1000 / latency_ms,
    }


async def starting(stand: Stand, *, times: int) -> dict[str, Any]:
    """Seconds from a worker's start to its first workflow task, with an order waiting for it."""
    taken = [await _start(stand) for _ in range(times)]
    return {"start_to_first_task": median(taken), "start_to_first_task_most": max(taken)}


async def _start(stand: Stand) -> float:
    unique = uuid.uuid4().hex[:8]
    environment = stand.environment(ORDERS_TASK_QUEUE=f"start-{unique}", SHIPPING_TASK_QUEUE=f"unserved-{unique}")
    waiting = Orderfleet(stand.client, settings_of(environment), [], [])
    await OrderClient.of(stand.client, waiting.settings).start(waiting.input(unique))
    spawned = time.time()
    worker = await asyncio.to_thread(start_role, stand.folder, "orders-worker", environment, f"start-{unique}")
    try:
        handle = stand.client.get_workflow_handle(names.order_workflow_id(unique))
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                return event.event_time.ToNanoseconds() / 1e9 - spawned
        raise AssertionError("a history ends with the end of its workflow")
    finally:
        await asyncio.to_thread(processes.end, [worker.process], by=signal.SIGTERM, timeout=30)


def _fleet(stand: Stand, name: str, order_workers: int, slow: dict[str, str]) -> Orderfleet:
    queue = name.replace(" ", "-")
    environment = stand.environment(ORDERS_TASK_QUEUE=f"orders-{queue}", SHIPPING_TASK_QUEUE=f"shipping-{queue}")
    return start_orderfleet(
        stand.folder, stand.client, environment, name=name, order_workers=order_workers, for_orders=slow
    )


async def _rate(fleet: Orderfleet, orders: int) -> float:
    run = uuid.uuid4().hex[:8]
    return orders / await at_once(fleet.order, [f"s-{run}-{number}" for number in range(orders)], 100)
