"""Worker processes, and the ledger of their simulated payment provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from support.role_processes import RoleProcesses


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def fleet(
    temporal_address: str, postgres_url: str, task_queues: Any, ledger: Path, tmp_path: Path
) -> AsyncIterator[RoleProcesses]:
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }
    async with AsyncExitStack() as stack:
        yield RoleProcesses(stack, environment, tmp_path)
