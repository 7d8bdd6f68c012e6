"""The operator with everything real around it: API server, Temporal, Postgres, and both workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fleet import Fleet, fleet
from shop import Shop


@pytest.fixture
async def workers(temporal_client, postgres_url, task_queues) -> AsyncIterator[Fleet]:
    """Both workers, with a provider and a carrier that do what the test tells them."""
    async with fleet(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.fixture
async def shop(kubernetes, temporal_address, postgres_url, task_queues, monkeypatch) -> AsyncIterator[Shop]:
    """A namespace with Orders, and an operator that can be started, stopped and killed."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    made = Shop(kubernetes, temporal_address, postgres_url, task_queues)
    async with made:
        yield made
