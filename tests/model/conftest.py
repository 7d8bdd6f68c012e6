"""Fixtures with the environments that the order machines run in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from model.order_environment import OrderEnvironment, TimeSkippingOrderEnvironment


@pytest.fixture
async def time_skipping_order_env(
    time_skipping_env: WorkflowEnvironment, postgres_url: str
) -> AsyncIterator[OrderEnvironment]:
    made = TimeSkippingOrderEnvironment(time_skipping_env, postgres_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def order_env(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[OrderEnvironment]:
    made = OrderEnvironment(temporal_client, postgres_url, task_queues.orders, task_queues.shipping)
    await made.open()
    yield made
    await made.close()
