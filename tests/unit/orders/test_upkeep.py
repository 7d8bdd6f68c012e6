"""What one look of the sweep costs: it must not grow with the orders that ended well or were settled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from orderfleet.contracts.settle import ClosedWorkflow, Orphan, SweepInput
from orderfleet.orders.upkeep import UpkeepActivities
from temporalio.testing import ActivityEnvironment

from orderfleet.contracts.payment import PaymentIntent


class Counted:
    """Temporal's visibility and the record, counting what they are asked."""

    def __init__(self, closed: int, orphans: int) -> None:
        self._closed = [ClosedWorkflow(order_id=f"o-{n}", run_id=f"r-{n}", how="terminated") for n in range(closed)]
        self._orphans = orphans
        self.asked: list[str] = []

    async def ended_from_outside(self, since: datetime) -> list[ClosedWorkflow]:
        self.asked.append("visibility")
        return self._closed

    async def unfinished(self, closed: Sequence[ClosedWorkflow]) -> list[Orphan]:
        self.asked.append("record")
        return [_orphan(one) for one in closed[: self._orphans]]

    async def is_running(self, order_id: str) -> bool:
        self.asked.append("workflow")
        return order_id == "o-1"

    async def settle(self, *_: object, **__: object) -> None:
        raise AssertionError("a look settles nothing")


def _orphan(closed: ClosedWorkflow) -> Orphan:
    payment = PaymentIntent(payment_id=f"pay-{closed.order_id}", order_id=closed.order_id, amount="1", currency="USD")
    return Orphan(order_id=closed.order_id, how=closed.how, payment=payment, shipments=0)


@pytest.mark.parametrize(
    ("closed", "orphans", "asked"),
    [
        (0, 0, ["visibility"]),
        (1000, 0, ["visibility", "record"]),
        (1000, 3, ["visibility", "record", "workflow", "workflow", "workflow"]),
    ],
)
async def test_a_look_asks_once_for_all_orders(closed, orphans, asked):
    counted = Counted(closed, orphans)
    look = SweepInput(order_id="", since=datetime(2026, 1, 1, tzinfo=UTC))
    found = await ActivityEnvironment().run(UpkeepActivities(counted, counted).find_orphans, look)
    assert counted.asked == asked
    assert "o-1" not in {orphan.order_id for orphan in found.orphans}, "a reset order runs on"
