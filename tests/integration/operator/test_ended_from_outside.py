"""An order whose workflow was terminated: its Order says so, and is let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fleet import Fleet
from shop import condition, ended, manifest, step
from temporalio.client import WorkflowHandle

from orderfleet.contracts import names
from orderfleet.contracts.settle import Sweep


@pytest.fixture
async def swept(workers: Fleet) -> AsyncIterator[Fleet]:
    """Workers whose sweep looks often."""
    sweep: WorkflowHandle = await workers.temporal.start_workflow(
        names.SWEEP_WORKFLOW,
        Sweep(interval=timedelta(milliseconds=500), policy=workers.order("any").policy),
        id=f"sweep-{workers.settings.orders_task_queue}",
        task_queue=workers.settings.orders_task_queue,
    )
    yield workers
    await sweep.terminate()


async def test_terminated_workflow_is_shown_as_failed(shop, swept):
    name = shop.name()
    async with shop.operator():
        await shop.apply(manifest(name))
        await shop.until(name, lambda order: step(order) == "manual_review")
        await swept.handle(name).terminate()
        done = await shop.until(name, ended)
    assert step(done) == "failed"
    assert condition(done, "Stalled") == ("True", "Failed")
    assert "terminated" in done["status"]["lastError"]
    assert "finalizers" not in done["metadata"]
