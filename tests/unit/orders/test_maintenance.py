"""What an orphan sweep asks of Temporal and of the database, how it survives failures, and what it skips."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from orderfleet.domain.activities import IdHolder
from orderfleet.domain.orphans import (
    ClosedPage,
    Compensation,
    Orphan,
    SweepClosedInput,
    SweepResult,
    SweepUnfinishedInput,
    UnfinishedOrder,
    UnfinishedPage,
    WorkflowState,
)
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy
from orderfleet.orders import maintenance
from orderfleet.orders.maintenance import MAX_CONCURRENT, MaintenanceActivities

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
CLOSED = SweepClosedInput(order_id="", since=SINCE, policy=OrderPolicy())
SLOWEST = timedelta(0)


class Fake:
    """The database and Temporal, with closed workflows of orders `o-0` … and a count of what they are asked."""

    def __init__(self, closed: int, unfinished: int, page: int = 200) -> None:
        self.ids = [f"o-{number:05}" for number in range(closed)]
        self.open = set(self.ids[:unfinished])
        self.page = page
        self.asked: list[str] = []
        self.started: list[str] = []
        self.running: set[str] = set()
        self.in_compensation_before: set[str] = set()
        self.unreachable: set[str] = set()
        self.ends_during_check: set[str] = set()
        self.at_once = self.most_at_once = 0

    async def closed(self, since: datetime, page_token: str | None = None) -> ClosedPage:
        self.asked.append("closed")
        begin = int(page_token or 0)
        end = begin + self.page
        # Newest first, as the server answers.
        found = [f"order-{order_id}" for order_id in reversed(self.ids)][begin:end]
        return ClosedPage((*found, "some-other-id"), str(end) if end < len(self.ids) else None)

    async def unfinished(self, order_ids: Sequence[str]) -> list[UnfinishedOrder]:
        self.asked.append("unfinished")
        return [_order(order_id) for order_id in order_ids if order_id in self.open]

    async def unfinished_page(self, after: str, limit: int, idle: timedelta) -> UnfinishedPage:
        self.asked.append(f"page of {limit}")
        found = [order_id for order_id in sorted(self.open) if order_id > after][:limit]
        return UnfinishedPage(tuple(map(_order, found)), found[-1] if len(found) == limit else None)

    async def orphans(self, order_ids: Sequence[str]) -> list[Orphan]:
        self.asked.append("orphans")
        return [_orphan(order_id) for order_id in order_ids if order_id in self.open - self.ends_during_check]

    async def record_compensation(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a sweep records nothing")

    async def in_compensation(self) -> frozenset[str]:
        self.asked.append("in compensation")
        return frozenset(self.in_compensation_before)

    async def state(self, order: UnfinishedOrder) -> WorkflowState:
        self.asked.append("state")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if order.order_id in self.unreachable:
            raise ConnectionError(order.order_id)
        if order.order_id in self.running:
            return WorkflowState(found=True, running=True)
        return WorkflowState(found=True, how="terminated")

    async def start_compensation(self, compensation: Compensation, workflow_id: str, task_queue: str) -> bool:
        self.started.append(workflow_id)
        return True

    async def holder(
        self, workflow_id: str, workflow_type: str, memo: Mapping[str, str], parent_id: str = ""
    ) -> IdHolder:
        raise AssertionError("no id is in use")


def _order(order_id: str) -> UnfinishedOrder:
    return UnfinishedOrder(order_id=order_id, workflow_id=f"order-{order_id}", first_run_id=f"run-{order_id}")


def _orphan(order_id: str) -> Orphan:
    payment = PaymentIntent(payment_id=f"pay-{order_id}", order_id=order_id, amount="1", currency="USD")
    return Orphan(order_id=order_id, payment=payment, shipments=0)


async def _swept(
    fake: Fake, step: SweepClosedInput = CLOSED, environment: ActivityEnvironment | None = None
) -> SweepResult:
    activities = MaintenanceActivities(fake, fake)
    return await (environment or ActivityEnvironment()).run(activities.sweep_closed_workflows, step)


@pytest.mark.parametrize(
    ("closed", "unfinished", "asked"),
    [
        (0, 0, ["closed"]),
        (200, 0, ["closed", "unfinished"]),
        (200, 3, ["closed", "unfinished", "in compensation", "state", "state", "state", "orphans"]),
    ],
)
async def test_page_of_closed_workflows_costs_calls_for_its_unfinished_orders_only(closed, unfinished, asked):
    fake = Fake(closed, unfinished)
    swept = await _swept(fake)
    assert fake.asked == asked
    assert (swept.found, swept.done) == (unfinished, True)


async def test_every_page_of_1500_orphans_is_read_and_each_orphan_started_once():
    fake = Fake(1500, 1500)
    swept = await _swept(fake)
    assert swept.found == 1500
    assert sorted(fake.started) == [f"compensation-{order_id}" for order_id in fake.ids]
    assert fake.most_at_once == MAX_CONCURRENT


async def test_order_with_running_workflow_is_not_compensated():
    fake = Fake(3, 3)
    fake.running = {"o-00001"}
    await _swept(fake)
    assert "compensation-o-00001" not in fake.started
    assert len(fake.started) == 2


async def test_order_that_ends_during_check_is_not_compensated():
    fake = Fake(3, 3)
    fake.ends_during_check = {"o-00001"}
    assert (await _swept(fake)).found == 2
    assert "compensation-o-00001" not in fake.started


async def test_order_in_compensation_is_not_checked_again():
    fake = Fake(3, 3)
    fake.in_compensation_before = {"o-00000", "o-00001"}
    assert (await _swept(fake)).found == 1
    assert fake.asked.count("state") == 1


async def test_order_that_can_not_be_checked_does_not_hold_up_the_others():
    fake = Fake(10, 10)
    fake.unreachable = {"o-00004"}
    assert (await _swept(fake)).found == 9


async def test_second_attempt_goes_past_orders_that_can_not_be_checked():
    fake, environment = Fake(1, 1), ActivityEnvironment()
    fake.unreachable = set(fake.ids)
    environment.info = replace(environment.info, attempt=2)
    swept = await _swept(fake, environment=environment)
    assert (swept.found, swept.done) == (0, True)


async def test_first_attempt_fails_when_no_order_can_be_checked():
    fake = Fake(10, 10)
    fake.unreachable = set(fake.ids)
    with pytest.raises(ConnectionError):
        await _swept(fake)


async def test_attempt_continues_from_the_heartbeat_of_the_attempt_before():
    fake = Fake(600, 600)
    environment = ActivityEnvironment()
    reached = SweepResult(position="400", read=400, found=400)
    environment.info = replace(environment.info, heartbeat_details=[reached.model_dump(mode="json")])
    swept = await _swept(fake, environment=environment)
    assert (swept.found, swept.done, len(fake.started)) == (600, True, 200)


async def test_attempt_sends_its_position_with_heartbeats():
    fake, environment, sent = Fake(400, 1), ActivityEnvironment(), []
    environment.on_heartbeat = sent.append
    await _swept(fake, environment=environment)
    assert [result.position for result in sent if not result.done][-1] == "200"
    assert sent[-1].done


async def test_activity_returns_its_position_when_its_time_is_over(monkeypatch):
    fake = Fake(600, 600)

    async def closed(since: datetime, page_token: str | None = None) -> ClosedPage:
        await asyncio.sleep(0.01)
        return await Fake.closed(fake, since, page_token)

    monkeypatch.setattr(maintenance, "BUDGET_SECONDS", 0.005)
    monkeypatch.setattr(fake, "closed", closed)
    swept = await _swept(fake)
    assert (swept.position, swept.found, swept.done) == ("200", 200, False)


async def test_check_of_unfinished_orders_reads_its_batch_and_returns_where_to_continue():
    fake = Fake(1000, 1000)
    fake.running = set(fake.ids)
    activities = MaintenanceActivities(fake, fake)
    step = SweepUnfinishedInput(order_id="", after="o-00099", limit=500, idle=SLOWEST, policy=OrderPolicy())
    swept = await ActivityEnvironment().run(activities.sweep_unfinished_orders, step)
    assert (swept.position, swept.done) == ("o-00599", True)
    assert [asked for asked in fake.asked if asked.startswith("page")] == ["page of 200", "page of 200", "page of 100"]
    assert fake.asked.count("state") == 500


async def test_check_of_unfinished_orders_begins_again_after_the_last():
    fake = Fake(150, 150)
    fake.running = set(fake.ids)
    activities = MaintenanceActivities(fake, fake)
    step = SweepUnfinishedInput(order_id="", after="o-00099", limit=500, idle=SLOWEST, policy=OrderPolicy())
    swept = await ActivityEnvironment().run(activities.sweep_unfinished_orders, step)
    assert (swept.position, swept.done) == (None, True)


async def test_check_of_unfinished_orders_continues_from_the_heartbeat_of_the_attempt_before():
    fake, environment = Fake(600, 600), ActivityEnvironment()
    fake.running = set(fake.ids)
    reached = SweepResult(position="o-00399", read=400)
    environment.info = replace(environment.info, heartbeat_details=[reached.model_dump(mode="json")])
    activities = MaintenanceActivities(fake, fake)
    step = SweepUnfinishedInput(order_id="", after="", limit=500, idle=SLOWEST, policy=OrderPolicy())
    swept = await environment.run(activities.sweep_unfinished_orders, step)
    assert (swept.position, swept.read, swept.done) == ("o-00499", 500, True)
    assert fake.asked.count("state") == 100, "orders before the position are not checked again"
