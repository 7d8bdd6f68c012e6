"""The yards that the order machines play in."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "workflows"))
sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "operator"))

from yard import SkippingYard, Yard


@pytest.fixture
async def skipping_yard(time_skipping_env: WorkflowEnvironment, postgres_url: str) -> AsyncIterator[Yard]:
    made = SkippingYard(time_skipping_env, postgres_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def yard(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[Yard]:
    made = Yard(temporal_client, postgres_url, task_queues.orders, task_queues.shipping)
    await made.open()
    yield made
    await made.close()
