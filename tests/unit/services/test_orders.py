"""Calls of `OrderService` that use Postgres and Temporal have one timeout for both."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.services.orders import OrderService
from orderfleet.services.workflow_client import OrderClient

TIMEOUT = timedelta(seconds=2)
ORDER = OrderInput(order_id="o-1", items=(Item(sku="a", qty=1, price="9.99"),), address=Address(street="1 Main St"))


async def hang(*_args, **_kwargs):
    await asyncio.Event().wait()


async def test_start_when_postgres_and_temporal_hang_ends_at_the_timeout():
    client = OrderClient(SimpleNamespace(start_workflow=hang), timeout=TIMEOUT)
    orders = OrderService(client, SimpleNamespace(order=hang, payment_holder=hang), timeout=TIMEOUT)
    started = time.monotonic()
    with pytest.raises(TemporalUnavailable, match=r"in (1|0\.\d+) s"):
        await orders.start(ORDER)
    assert time.monotonic() - started >= TIMEOUT.total_seconds() * 0.9
