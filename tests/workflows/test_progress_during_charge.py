"""Changes during a charge are written to the database, and never set the order back to the charge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orderfleet.domain.events import Progress
from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.factories import AUTO, ELSEWHERE
from support.scripted_providers import Gate
from support.workflow_env import workflow_test_env


class DelayedStore(OrderWrites):
    """An order store that writes progress drafted during the charge after the charge itself."""

    charging: Gate
    drafted: Gate
    steps: list[Step]
    reads: OrderReads

    async def record(self, order_id: str, progress: Progress) -> None:
        during = self.charging.reached.is_set() and progress.step is Step.CHARGE
        if during:
            await self.drafted()
        await super().record(order_id, progress)
        if during:
            found = await self.reads.order(order_id)
            assert found is not None
            self.steps.append(found.status.step)

    async def finish_payment(self, *args: Any, **options: Any) -> Any:
        done = await super().finish_payment(*args, **options)
        self.drafted.opened.set()
        return done


@pytest.mark.parametrize("change", ["update_address", "cancel_order"])
async def test_progress_drafted_during_charge_and_written_after_it_keeps_step(
    temporal_client, postgres_url, task_queues, change: str
) -> None:
    charging, drafted, steps = Gate(), Gate(), []

    def record(database: Database) -> DelayedStore:
        store = DelayedStore(database)
        store.charging, store.drafted, store.steps, store.reads = charging, drafted, steps, OrderReads(database)
        return store

    queues = (task_queues.orders, task_queues.shipping)
    async with (
        asyncio.timeout(120),
        workflow_test_env(temporal_client, postgres_url, *queues, record=record) as workflow_env,
    ):
        workflow_env.provider.charging.before.append(charging)
        handle = await workflow_env.start(workflow_env.order(f"late-{change}", review=AUTO))
        await charging.reached.wait()
        await handle.signal(change, ELSEWHERE if change == "update_address" else "too dear")
        await drafted.reached.wait()
        charging.opened.set()
        ended = await handle.result()
        recorded = (await workflow_env.recorded(f"late-{change}")).status
    assert steps
    assert set(steps) == {Step.SHIPPING}
    assert (recorded.step, recorded.address) == (ended.step, ended.address)
