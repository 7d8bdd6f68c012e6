"""The operator with a real API server, Temporal and Postgres, and both workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integration.operator.shop import Shop
from workflows.fleet import Fleet, fleet


@pytest.fixture
async def workers(temporal_client, postgres_url, task_queues) -> AsyncIterator[Fleet]:
    """Both workers, with a payment provider and a carrier that the test controls."""
    async with fleet(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.fixture
async def shop(kubernetes, temporal_address, postgres_url, task_queues, monkeypatch) -> AsyncIterator[Shop]:
    """A namespace for Orders, and operators that run in it."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    made = Shop(kubernetes, temporal_address, postgres_url, task_queues)
    async with made:
        yield made
