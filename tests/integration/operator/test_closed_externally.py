"""An order whose workflow was terminated: its Order says so, and is let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from orderfleet.domain import names
from orderfleet.orders.schedules import ensure_schedule, orphan_sweep
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.workflow_env import WorkflowTestEnv


@pytest.fixture
async def sweeping_env(workers: WorkflowTestEnv) -> AsyncIterator[WorkflowTestEnv]:
    """Workers with an orphan sweep every second."""
    settings = workers.settings.model_copy(update={"orphan_sweep_interval": timedelta(seconds=1)})
    await ensure_schedule(workers.temporal, orphan_sweep(settings))
    yield workers
    await workers.temporal.get_schedule_handle(names.orphan_sweep_id(settings.orders_task_queue)).delete()


async def test_terminated_workflow_is_shown_as_failed(operator_env, sweeping_env):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await sweeping_env.handle(name).terminate()
        done = await operator_env.until(name, ended)
    assert step(done) == "failed"
    assert condition(done, "Stalled") == ("True", "Failed")
    assert "terminated" in done["status"]["lastError"]
    assert "finalizers" not in done["metadata"]
