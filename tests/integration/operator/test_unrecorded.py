"""Orders whose workflow ended before it recorded the order: the Order shows how, and ends."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from orderfleet.domain import names
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.workflow_env import workflow_test_env


@workflow.defn(name=names.ORDER_WORKFLOW)
class FailingOrderWorkflow:
    """Fails every start, as a build that can't read the operator's input."""

    @workflow.run
    async def run(self, *_args: Any) -> NoReturn:
        raise ApplicationError("review.timeout: has to be above zero", type="InvalidInput", non_retryable=True)


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orderfleet.operator.reconciler.UNRECORDED_CHECK", 0.5)
    monkeypatch.setattr("orderfleet.operator.reconciler.UNRECORDED_RECHECK", 0.5)
    monkeypatch.setattr("orderfleet.operator.reconciler.LATE_RECORD_GRACE", 1.0)


async def test_order_with_failed_start_shows_cause_and_ends(operator_env, temporal_client):
    name = operator_env.name()
    worker = Worker(
        temporal_client,
        task_queue=operator_env.settings.orders_task_queue,
        workflows=[FailingOrderWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker, operator_env.operator():
        await operator_env.apply(order_manifest(name))
        done = await operator_env.until(name, ended)
    assert (step(done), done["status"]["ended"]) == ("failed", True)
    assert condition(done, "Stalled") == ("True", "Failed")
    assert condition(done, "Accepted") == ("False", "Failed")
    assert done["status"]["observedGeneration"] == 1
    assert done["status"]["lastError"] == (
        "its workflow failed before the order was recorded: review.timeout: has to be above zero"
    )


async def test_order_with_workflow_terminated_before_record_ends_as_failed(operator_env, temporal_client):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "receive")
        await temporal_client.get_workflow_handle(names.order_workflow_id(name)).terminate()
        done = await operator_env.until(name, ended)
    assert condition(done, "Stalled") == ("True", "Failed")
    assert done["status"]["lastError"] == "its workflow was terminated before the order was recorded"


async def test_order_without_worker_stays_in_step_receive(operator_env, workers_later):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review={"mode": "auto"}))
        await operator_env.until(name, lambda order: step(order) == "receive")
        # The operator checks the workflow several times before a worker runs.
        await operator_env.patch(name, approved=True)
        async with workers_later():
            done = await operator_env.until(name, ended)
    assert step(done) == "shipped"


@pytest.fixture
def workers_later(temporal_client, postgres_url, task_queues):
    """Starts both workers on call."""
    return lambda: workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping)
