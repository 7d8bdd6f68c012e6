"""Measures one contender for one round: under load, and with one order at a time."""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.bench_stack import BenchStack
from bench.contenders import Contender
from bench.figures import Values
from bench.meters import cpu_seconds, history, memory_mib, statements

_HISTORIES = 3


@dataclass(frozen=True)
class Load:
    """Numbers of orders in a round."""

    orders_50: int = 200
    """With 50 at once."""
    orders_200: int = 400
    """With 200 at once."""
    alone: int = 30
    """One after the other."""


async def measure_round(stack: BenchStack, contender: Contender, load: Load) -> Values:
    """Run one round.

    Returns:
        Values by the names in `figures`, and `alone_times` in milliseconds.
    """
    run = uuid.uuid4().hex[:6]
    parts = {
        "cpu_workers": contender.workers,
        "cpu_temporal": [stack.temporal],
        "cpu_postgres": [stack.postgres],
    }
    gc.collect()
    before, own, sent = cpu_seconds(parts), time.process_time(), statements(contender.metrics)
    fifty = [f"b-{run}-{number}" for number in range(load.orders_50)]
    many = [f"c-{run}-{number}" for number in range(load.orders_200)]
    rate_50 = len(fifty) / await at_once(contender.order, fifty, 50)
    rate_200 = len(many) / await at_once(contender.order, many, 200)
    used, own = cpu_seconds(parts), time.process_time() - own
    ended = len(fifty) + len(many)
    trips = (statements(contender.metrics) - sent) / ended
    times = [await at_once(contender.order, [f"a-{run}-{number}"], 1) * 1000 for number in range(load.alone)]
    sample = [workflow for order_id in fifty[:_HISTORIES] for workflow in contender.workflows(order_id)]
    events, tasks = await history(stack.plain, sample)
    sampled = min(_HISTORIES, len(fifty))
    return {
        "rate_50": rate_50,
        "rate_200": rate_200,
        "alone_times": times,
        **{name: (used[name] - before[name]) * 1000 / ended for name in parts},
        "cpu_client": own * 1000 / ended,
        "events": events / sampled,
        "tasks": tasks / sampled,
        "round_trips": trips,
        "memory": memory_mib(contender.workers),
    }


async def warm_up(contender: Contender, orders: int) -> None:
    """Run orders until modules are imported, caches are filled and connections are open."""
    await at_once(contender.order, [f"w-{uuid.uuid4().hex[:8]}" for _ in range(orders)], 50)


async def at_once(run: Callable[[str], Awaitable[None]], order_ids: list[str], limit: int) -> float:
    """Run all orders, `limit` of them at a time; elapsed seconds."""
    left = iter(order_ids)

    async def runner() -> None:
        for order_id in left:
            await run(order_id)

    began = time.perf_counter()
    await asyncio.gather(*(runner() for _ in range(min(limit, len(order_ids)))))
    return time.perf_counter() - began
