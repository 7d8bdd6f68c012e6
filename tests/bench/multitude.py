"""The operator among many Orders: how soon after its start it handles a new one, and its memory.

Part of `declared`, with the numbers that the command is told. Finished Orders are put into the API server as the
operator leaves them, by this module; waiting ones are applied, and wait for approval in real workflows.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import psutil
from contenders import start_role
from meters import cpu_seconds, memory_mib
from shop_floor import ShopFloor
from stand import Stand

from orderfleet.stack import processes

_AT_ONCE = 40


async def among_finished(stand: Stand, shop: ShopFloor, count: int, kubeconfig: str) -> dict[str, Any]:
    """A start of the operator with so many finished Orders present."""
    run = uuid.uuid4().hex[:8]
    await _each(shop.post_finished, (f"finished-{run}-{number}" for number in range(count)))
    return {f"finished_{name}": value for name, value in (await _started(stand, shop, kubeconfig)).items()} | {
        "finished_orders": count
    }


async def among_waiting(stand: Stand, shop: ShopFloor, count: int, kubeconfig: str) -> dict[str, Any]:
    """A start of the operator with so many Orders present that wait for approval."""
    run = uuid.uuid4().hex[:8]
    order_ids = [f"waiting-{run}-{number}" for number in range(count)]
    first = await asyncio.to_thread(_operator, stand, kubeconfig)
    try:
        began = time.perf_counter()
        await _each(lambda name: shop.post(name, review="manual"), order_ids)
        for order_id in order_ids:
            await shop.until(order_id, "manual_review")
        applied, memory = time.perf_counter() - began, memory_mib([first])
    finally:
        await _end(first)
    found = {f"waiting_{name}": value for name, value in (await _started(stand, shop, kubeconfig)).items()}
    return found | {"waiting_orders": count, "waiting_applied_a_second": count / applied, "waiting_watched": memory}


async def _started(stand: Stand, shop: ShopFloor, kubeconfig: str) -> dict[str, float]:
    """Start the operator with a new Order waiting for it; seconds until its status tells, MiB, CPU seconds."""
    name = f"new-{uuid.uuid4().hex[:10]}"
    await shop.post(name)
    began = time.time()
    operator = await asyncio.to_thread(_operator, stand, kubeconfig)
    try:
        await shop.until_released(name)
        return {
            "start": min(shop.seen[name].values()) - began,
            "memory": memory_mib([operator]),
            "cpu": cpu_seconds({"operator": [operator]})["operator"],
        }
    finally:
        await _end(operator)


def _operator(stand: Stand, kubeconfig: str) -> psutil.Process:
    environment = stand.environment(KUBECONFIG=kubeconfig)
    return start_role(stand.folder, "operator", environment, f"operator-{uuid.uuid4().hex[:6]}").process


async def _end(operator: psutil.Process) -> None:
    await asyncio.to_thread(processes.end, [operator], by=signal.SIGTERM, bound=30)


async def _each(run: Callable[[str], Awaitable[object]], names: Iterable[str]) -> None:
    left = iter(names)

    async def runner() -> None:
        for name in left:
            await run(name)

    await asyncio.gather(*(runner() for _ in range(_AT_ONCE)))
