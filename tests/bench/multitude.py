"""The operator among many Orders: how soon after its start it handles a new one, its memory, what a new Order costs.

Part of `declared`, with the numbers that the command is told. Those that are there are put there as the operator
leaves them: finished ones in the API server alone, because nothing asks for more; waiting ones as copies of one
that really waits for approval, in the API server and in the record, because the operator compares the two. Copies
have no workflow and no events: the operator asks for neither while an Order waits.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import asyncpg
import psutil
from contenders import start_role
from meters import cpu_seconds, memory_mib
from shop_floor import ShopFloor
from stand import Stand

from orderfleet.domain.names import ENDED_LABEL, order_workflow_id
from orderfleet_local.stack import processes

_AT_ONCE = 20
_QUIET = 0.05
"""Share of a core below which an operator has nothing to do."""

# Whatever one row of the record holds, with another order's names.
_COPY = """
insert into orders
select (jsonb_populate_record(o, jsonb_build_object(
    'order_id', copy.id,
    'workflow_id', copy.workflow_id,
    'owner', split_part(o.owner, '/', 1) || '/' || copy.id,
    'owner_uid', copy.uid,
    'payment_id', 'pay-' || copy.id,
    'declared', replace(o.declared::text, o.owner_uid, copy.uid)::jsonb
))).*
from orders o, unnest($2::text[], $3::text[], $4::text[]) as copy (id, workflow_id, uid)
where o.order_id = $1
"""

Answer = TypeVar("Answer")


async def among_finished(stand: Stand, shop: ShopFloor, count: int, kubeconfig: str) -> dict[str, Any]:
    """A start of the operator with so many finished Orders present."""
    run = uuid.uuid4().hex[:8]
    status = {"step": "shipped", "ended": True, "observedGeneration": 1}
    labels = {ENDED_LABEL: "true"}
    names = (f"finished-{run}-{number}" for number in range(count))
    await _each(lambda name: shop.place(name, status, "auto", labels=dict(labels)), names)
    operator, found = await _started(stand, shop, kubeconfig)
    await _end(operator)
    return {"finished_orders": count} | {f"finished_{name}": value for name, value in found.items()}


async def among_waiting(stand: Stand, shop: ShopFloor, count: int, kubeconfig: str, *, new: int) -> dict[str, Any]:
    """Starts of the operator with none, a quarter and all of so many Orders present that wait for approval.

    At each of them `new` Orders are taken to their end, and cost what they cost.
    """
    original = await _waits(stand, shop, kubeconfig)
    levels: list[dict[str, float]] = []
    present = 0
    for level in (0, count // 4, count):
        began = time.perf_counter()
        await _copied(stand, shop, original, level - present)
        placing, present = time.perf_counter() - began, level
        levels.append({"present": level, "placing": placing, **await _among(stand, shop, kubeconfig, new)})
    first, last = levels[0], levels[-1]
    return {
        "waiting_orders": count,
        "waiting_levels": levels,
        "waiting_start": last["start"],
        "waiting_memory": last["memory"],
        "waiting_cpu": last["cpu"],
        "waiting_cpu_each": (last["cpu"] - first["cpu"]) * 1000 / count,
        "waiting_memory_each": (last["memory"] - first["memory"]) * 1024 / count,
        "waiting_writes_each": (last["writes"] - first["writes"]) / count,
        "waiting_new_alone": first["cpu_new"],
        "waiting_new": last["cpu_new"],
    }


async def _among(stand: Stand, shop: ShopFloor, kubeconfig: str, new: int) -> dict[str, float]:
    """A start of the operator among what is there, then what new Orders cost it."""
    patched = await shop.patches()
    operator, found = await _started(stand, shop, kubeconfig)
    try:
        found["writes"] = await shop.patches() - patched
        run = uuid.uuid4().hex[:8]
        names = [f"among-{run}-{number}" for number in range(new)]
        began = _cpu(operator)
        await _each(shop.post, names)
        for name in names:
            await shop.until_released(name)
        await _quiet(operator)
        return {**found, "cpu_new": (_cpu(operator) - began) * 1000 / new}
    finally:
        await _end(operator)


async def _started(stand: Stand, shop: ShopFloor, kubeconfig: str) -> tuple[psutil.Process, dict[str, float]]:
    """Start the operator with a new Order waiting for it, which is listed after all others.

    Seconds until its status tells; CPU seconds and MiB once nothing is left to do.
    """
    name = f"z-new-{uuid.uuid4().hex[:10]}"
    await shop.post(name)
    began = time.time()
    operator = await asyncio.to_thread(_operator, stand, kubeconfig)
    await shop.until_released(name)
    await _quiet(operator)
    start = min(shop.seen[name].values()) - began
    return operator, {"start": start, "memory": memory_mib([operator]), "cpu": _cpu(operator)}


async def _waits(stand: Stand, shop: ShopFloor, kubeconfig: str) -> dict[str, Any]:
    """An Order that waits for approval in a real workflow, as the operator leaves it."""
    name = f"waits-{uuid.uuid4().hex[:8]}"
    operator = await asyncio.to_thread(_operator, stand, kubeconfig)
    try:
        await shop.post(name, review="manual")
        await shop.until(name, "manual_review")
        await _quiet(operator)
        return await shop.read(name)
    finally:
        await _end(operator)


async def _copied(stand: Stand, shop: ShopFloor, original: dict[str, Any], count: int) -> None:
    run, metadata = uuid.uuid4().hex[:8], original["metadata"]
    shown = json.dumps(original["status"])

    async def place(name: str) -> str:
        status = json.loads(shown.replace(metadata["name"], name))
        return await shop.place(name, status, "manual", finalizers=metadata["finalizers"])

    names = [f"waits-{run}-{number}" for number in range(count)]
    uids = await _each(place, names)
    connection = await asyncpg.connect(stand.database_url)
    try:
        workflows = [order_workflow_id(name) for name in names]
        await connection.execute(_COPY, metadata["name"], names, workflows, uids)
        await connection.execute("analyze orders")
    finally:
        await connection.close()


def _operator(stand: Stand, kubeconfig: str) -> psutil.Process:
    environment = stand.environment(KUBECONFIG=kubeconfig)
    return start_role(stand.folder, "operator", environment, f"operator-{uuid.uuid4().hex[:6]}").process


def _cpu(operator: psutil.Process) -> float:
    return cpu_seconds({"operator": [operator]})["operator"]


async def _quiet(operator: psutil.Process) -> None:
    """Wait until the operator has had nothing to do for a second."""
    before = float("-inf")
    while (used := _cpu(operator)) - before > _QUIET:
        before = used
        await asyncio.sleep(1)


async def _end(operator: psutil.Process) -> None:
    await asyncio.to_thread(processes.end, [operator], by=signal.SIGTERM, timeout=30)


async def _each(run: Callable[[str], Awaitable[Answer]], names: Iterable[str]) -> list[Answer]:
    """Run it for each name, some at once; the answers in the names' order."""
    left = enumerate(names)
    answers: dict[int, Answer] = {}

    async def runner() -> None:
        for number, name in left:
            answers[number] = await run(name)

    await asyncio.gather(*(runner() for _ in range(_AT_ONCE)))
    return [answers[number] for number in sorted(answers)]
