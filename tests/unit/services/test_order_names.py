"""An order may be named by its workflow's id; one whose own id begins like such an id is reached by it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.services.errors import OrderNotFound, TemporalUnavailable
from orderfleet.services.orders import OrderService


class Orders:
    """An order store and Temporal with these orders; both count what they are asked."""

    def __init__(self, *, recorded=(), running=(), store=True, temporal=True):
        self.recorded, self.running = recorded, running
        self.store, self.temporal = store, temporal
        self.asked = 0

    async def order(self, order_id):
        self.asked += 1
        if not self.store:
            raise StoreUnavailable("Postgres did not answer")
        return SimpleNamespace(order_id=order_id) if order_id in self.recorded else None

    async def pending(self, order_id):
        self.asked += 1
        if not self.temporal:
            raise TemporalUnavailable("Temporal did not answer")
        if order_id not in self.running:
            raise OrderNotFound(order_id)
        return []


@pytest.mark.parametrize(
    ("orders", "name", "order_id"),
    [
        ({"recorded": ["ord-1"]}, "ord-1", "ord-1"),
        ({"recorded": ["ord-1"]}, "order-ord-1", "ord-1"),
        ({}, "order-ord-1", "ord-1"),
        ({"recorded": ["1", "order-1"]}, "order-1", "order-1"),
        ({"running": ["order-1"]}, "order-1", "order-1"),
        ({"running": ["order-1"], "store": False}, "order-1", "order-1"),
        ({"recorded": ["order-1"], "temporal": False}, "order-1", "order-1"),
        ({"recorded": ["order-1"]}, "order-order-1", "order-1"),
        ({}, "order-", "order-"),
        ({}, "order--x", "order--x"),
        ({}, "order-" + "x" * 128, "x" * 128),
        ({}, "orders-1", "orders-1"),
    ],
)
async def test_name_of_an_order_is_its_id_first_and_its_workflow_id_otherwise(orders, name, order_id):
    there = Orders(**orders)
    assert await OrderService(there, there).order_id_of(name) == order_id


async def test_usual_order_id_costs_no_look_up():
    there = Orders()
    await OrderService(there, there).order_id_of("ord-1")
    assert there.asked == 0


@pytest.mark.parametrize("away", [{"store": False}, {"temporal": False}])
async def test_name_is_not_guessed_while_a_side_that_decides_is_unavailable(away):
    there = Orders(**away)
    with pytest.raises((StoreUnavailable, TemporalUnavailable)):
        await OrderService(there, there).order_id_of("order-ord-1")
