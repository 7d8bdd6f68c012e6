"""Measures a start of the operator among many Orders: time to a new Order, memory, and the cost of a new Order.

The Orders are created in the state in which the operator leaves them. Finished ones exist in the API server only.
Waiting ones are copies of one that really waits for approval, in the API server and in the order store, because the
operator compares both. Copies have no workflow and no events, which the operator does not read while an Order waits.
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

from bench.bench_stack import BenchStack
from bench.contenders import start_role
from bench.meters import cpu_seconds, memory_mib
from bench.order_resources import OrderResources
from orderfleet.domain.names import ENDED_LABEL, order_workflow_id
from orderfleet_local.stack import processes

_AT_ONCE = 20
_IDLE = 0.05
"""Share of a core below which an operator is idle."""

# All columns of one order's row, with another order's names.
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

Result = TypeVar("Result")


async def measure_start_among_finished(
    stack: BenchStack, resources: OrderResources, count: int, kubeconfig: str
) -> dict[str, Any]:
    """Measure a start of the operator with `count` finished Orders present."""
    run = uuid.uuid4().hex[:8]
    status = {"step": "shipped", "ended": True, "observedGeneration": 1}
    labels = {ENDED_LABEL: "true"}
    names = (f"finished-{run}-{number}" for number in range(count))
    await _each(lambda name: resources.create(name, status, "auto", labels=dict(labels)), names)
    operator, found = await _started(stack, resources, kubeconfig)
    await _end(operator)
    return {"finished_orders": count} | {f"finished_{name}": value for name, value in found.items()}


async def measure_start_among_waiting(
    stack: BenchStack, resources: OrderResources, count: int, kubeconfig: str, *, new: int
) -> dict[str, Any]:
    """Measure starts of the operator with none, a quarter and all of `count` Orders present that wait for approval.

    After each start, `new` Orders run to their end, and the operator's CPU for them is measured.
    """
    original = await _waits(stack, resources, kubeconfig)
    levels: list[dict[str, float]] = []
    present = 0
    for level in (0, count // 4, count):
        began = time.perf_counter()
        await _copied(stack, resources, original, level - present)
        placing, present = time.perf_counter() - began, level
        levels.append({"present": level, "placing": placing, **await _among(stack, resources, kubeconfig, new)})
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


async def _among(stack: BenchStack, resources: OrderResources, kubeconfig: str, new: int) -> dict[str, float]:
    """Measure a start of the operator among the present Orders, then its CPU for new ones."""
    patched = await resources.patches()
    operator, found = await _started(stack, resources, kubeconfig)
    try:
        found["writes"] = await resources.patches() - patched
        run = uuid.uuid4().hex[:8]
        names = [f"among-{run}-{number}" for number in range(new)]
        began = _cpu(operator)
        await _each(resources.post, names)
        for name in names:
            await resources.until_released(name)
        await _wait_until_idle(operator)
        return {**found, "cpu_new": (_cpu(operator) - began) * 1000 / new}
    finally:
        await _end(operator)


async def _started(
    stack: BenchStack, resources: OrderResources, kubeconfig: str
) -> tuple[psutil.Process, dict[str, float]]:
    """Start the operator with one new Order, which the API server lists last.

    Returns:
        The process; seconds until the new Order has a status, and CPU seconds and MiB once the operator is idle.
    """
    name = f"z-new-{uuid.uuid4().hex[:10]}"
    await resources.post(name)
    began = time.time()
    operator = await asyncio.to_thread(_start_operator, stack, kubeconfig)
    await resources.until_released(name)
    await _wait_until_idle(operator)
    start = min(resources.seen[name].values()) - began
    return operator, {"start": start, "memory": memory_mib([operator]), "cpu": _cpu(operator)}


async def _waits(stack: BenchStack, resources: OrderResources, kubeconfig: str) -> dict[str, Any]:
    """An Order that waits for approval in a real workflow."""
    name = f"waits-{uuid.uuid4().hex[:8]}"
    operator = await asyncio.to_thread(_start_operator, stack, kubeconfig)
    try:
        await resources.post(name, review="manual")
        await resources.until(name, "manual_review")
        await _wait_until_idle(operator)
        return await resources.read(name)
    finally:
        await _end(operator)


async def _copied(stack: BenchStack, resources: OrderResources, original: dict[str, Any], count: int) -> None:
    run, metadata = uuid.uuid4().hex[:8], original["metadata"]
    shown = json.dumps(original["status"])

    async def create(name: str) -> str:
        status = json.loads(shown.replace(metadata["name"], name))
        return await resources.create(name, status, "manual", finalizers=metadata["finalizers"])

    names = [f"waits-{run}-{number}" for number in range(count)]
    uids = await _each(create, names)
    connection = await asyncpg.connect(stack.database_url)
    try:
        workflows = [order_workflow_id(name) for name in names]
        await connection.execute(_COPY, metadata["name"], names, workflows, uids)
        await connection.execute("analyze orders")
    finally:
        await connection.close()


def _start_operator(stack: BenchStack, kubeconfig: str) -> psutil.Process:
    environment = stack.environment(KUBECONFIG=kubeconfig)
    return start_role(stack.folder, "operator", environment, f"operator-{uuid.uuid4().hex[:6]}").process


def _cpu(operator: psutil.Process) -> float:
    return cpu_seconds({"operator": [operator]})["operator"]


async def _wait_until_idle(operator: psutil.Process) -> None:
    """Wait until the operator was idle for a second."""
    before = float("-inf")
    while (used := _cpu(operator)) - before > _IDLE:
        before = used
        await asyncio.sleep(1)


async def _end(operator: psutil.Process) -> None:
    await asyncio.to_thread(processes.end, [operator], by=signal.SIGTERM, timeout=30)


async def _each(run: Callable[[str], Awaitable[Result]], names: Iterable[str]) -> list[Result]:
    """Call `run` with each name, `_AT_ONCE` at a time; the results in the order of the names."""
    left = enumerate(names)
    results: dict[int, Result] = {}

    async def runner() -> None:
        for number, name in left:
            results[number] = await run(name)

    await asyncio.gather(*(runner() for _ in range(_AT_ONCE)))
    return [results[number] for number in sorted(results)]
