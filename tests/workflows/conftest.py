"""The fleets of workflow tests: one on a time-skipping server, one on a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from support.workflow_env import WorkflowTestEnv, workflow_test_env


@pytest.fixture(autouse=True)
def _long_answer_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long time-out, so that the result of a change does not depend on the load of the machine."""
    monkeypatch.setattr("orderfleet.services.workflow_client.ANSWER_TIMEOUT", timedelta(seconds=30))


@pytest.fixture
async def skipping_env(time_skipping_env: WorkflowEnvironment, postgres_url: str) -> AsyncIterator[WorkflowTestEnv]:
    """Both workers on a server whose timers pass at once while a result is awaited."""
    async with workflow_test_env(time_skipping_env.client, postgres_url, "orders-tq", "shipping-tq") as made:
        yield made


@pytest.fixture
async def workflow_env(temporal_client: Client, postgres_url: str, task_queues) -> AsyncIterator[WorkflowTestEnv]:
    """Both workers on the real server."""
    async with workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made
