"""Workers keep nothing of an order that has ended: what `make soak` reads of memory, counted in objects and bytes.

What a process holds beyond that is garbage that waits for the collector, and room that the C library keeps for more.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from fleet import Fleet, fleet

from orderfleet.domain.order import Review, ReviewMode

ORDERS, ROUNDS = 20, 6
MANY = 2 * ORDERS
"""Bytes go up and down by some 200 KiB for reasons of their own."""
KEPT = 4096
"""Bytes of an order; its history alone is 14 KiB."""
LIBC = ctypes.CDLL(None)


@pytest.fixture
async def shop(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[Fleet]:
    # As in worker processes: the sandbox of tests loads every type again for each run.
    queues = task_queues.orders, task_queues.shipping
    async with fleet(temporal_client, postgres_url, *queues, runner=UnsandboxedWorkflowRunner) as made:
        yield made


@pytest.mark.slow
async def test_workers_keep_no_object_of_an_order_that_has_ended(shop: Fleet) -> None:
    # Imports, pools, statements and metrics come with the first ones; what is kept of each order grows each time.
    grown = {"nothing was counted": 0}
    for _round in range(ROUNDS):
        before = _objects()
        await _let_orders_ship(shop)
        grown = {kind: more for kind, count in _objects().items() if (more := count - before[kind]) >= ORDERS}
        if not grown:
            return
    pytest.fail(f"more by each order: {grown}")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(LIBC, "mallinfo2"), reason="this C library doesn't tell what it has given out")
async def test_workers_keep_no_memory_of_an_order_that_has_ended(shop: Fleet) -> None:
    # The SDK's core is no Python: what it kept would be no object.
    kept = []
    for _round in range(ROUNDS):
        before = _given_out()
        await _let_orders_ship(shop, MANY)
        kept.append((_given_out() - before) / MANY)
        if kept[-1] < KEPT:
            return
    pytest.fail(f"bytes more by each order: {kept}")


async def _let_orders_ship(shop: Fleet, count: int = ORDERS) -> None:
    for _ten in range(0, count, 10):
        orders = [shop.order(f"kept-{uuid.uuid4().hex}", review=Review(mode=ReviewMode.AUTO)) for _ in range(10)]
        handles = [await shop.start(order) for order in orders]
        await asyncio.gather(*(handle.result() for handle in handles))
    # The books of provider and carrier are the test's own.
    shop.provider.charges.clear()
    shop.carrier.parcels.clear()


def _objects() -> Counter[str]:
    """How many objects of each kind there are once the garbage is out."""
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


def _given_out() -> int:
    """Bytes that the C library has given to whoever asked, once the garbage is out."""
    gc.collect()
    told = LIBC.mallinfo2
    told.restype = _Mallinfo2
    found = told()
    return int(found.uordblks + found.hblkhd)
