"""Workers keep nothing of an order that has ended, counted in objects and bytes.

Other memory of a process is garbage that is not collected yet, and free memory that the C library keeps.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

from support.factories import AUTO
from support.workflow_env import WorkflowTestEnv, workflow_test_env

ORDERS, ROUNDS = 20, 6
MEASURED_ORDERS = 2 * ORDERS
"""Enough orders that variations of 200 KiB in allocated memory don't matter."""
MAX_BYTES_PER_ORDER = 4096
"""Limit in bytes; an order's history alone is 14 KiB."""
LIBC = ctypes.CDLL(None)


@pytest.fixture
async def workers(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[WorkflowTestEnv]:
    # Worker processes have no sandbox either; it would load every type again for each run, and memory would grow.
    queues = task_queues.orders, task_queues.shipping
    async with workflow_test_env(temporal_client, postgres_url, *queues, runner=UnsandboxedWorkflowRunner) as made:
        yield made


@pytest.mark.slow
async def test_workers_after_orders_ended_keep_no_object(workers: WorkflowTestEnv) -> None:
    # Imports, pools, statements and metrics grow in the first rounds only; a leak grows in each.
    growth = {"no round was measured": 0}
    for _round in range(ROUNDS):
        before = _objects()
        await _ship_orders(workers)
        growth = {kind: more for kind, count in _objects().items() if (more := count - before[kind]) >= ORDERS}
        if not growth:
            return
    pytest.fail(f"objects per round: {growth}")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(LIBC, "mallinfo2"), reason="this C library doesn't report allocated bytes")
async def test_workers_after_orders_ended_keep_no_memory(workers: WorkflowTestEnv) -> None:
    # The SDK's core is not Python: what it kept would not be a Python object.
    bytes_per_order = []
    for _round in range(ROUNDS):
        before = _allocated_bytes()
        await _ship_orders(workers, MEASURED_ORDERS)
        bytes_per_order.append((_allocated_bytes() - before) / MEASURED_ORDERS)
        if bytes_per_order[-1] < MAX_BYTES_PER_ORDER:
            return
    pytest.fail(f"bytes per order: {bytes_per_order}")


async def _ship_orders(workers: WorkflowTestEnv, count: int = ORDERS) -> None:
    for _ten in range(0, count, 10):
        orders = [workers.order(f"kept-{uuid.uuid4().hex}", review=AUTO) for _ in range(10)]
        handles = [await workers.start(order) for order in orders]
        await asyncio.gather(*(handle.result() for handle in handles))
    # The test's own ledgers of provider and carrier.
    workers.provider.forget()
    workers.carrier.parcels.clear()


def _objects() -> Counter[str]:
    """Return the number of objects by type, after a garbage collection."""
    gc.collect()
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


class _Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h, since 2.33."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _allocated_bytes() -> int:
    """Return the bytes that are allocated by the C library, after a garbage collection."""
    gc.collect()
    mallinfo2 = LIBC.mallinfo2
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)
