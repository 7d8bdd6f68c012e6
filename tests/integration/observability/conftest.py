"""All roles as processes, a receiver of traces, and Orders in a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from orderfleet_local.stack import ports
from support.operator_env import shop
from support.otlp_receiver import Receiver, run_receiver
from support.role_processes import RoleProcesses

__all__ = ["shop"]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with run_receiver(tmp_path, ports.choose(0)) as running:
        yield running


@pytest.fixture
def environment(temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path) -> dict[str, str]:
    """Environment variables of all processes of a test."""
    return {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_LOG_FORMAT": "json",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_STEP_INITIAL_INTERVAL": "50ms",
        "ORDERFLEET_STEP_BACKOFF": "1",
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }


@pytest.fixture
async def fleet(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[RoleProcesses]:
    async with AsyncExitStack() as stack:
        yield RoleProcesses(stack, environment, tmp_path)
