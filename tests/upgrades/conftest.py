"""A Temporal server per test that detects a drained version within seconds."""

from __future__ import annotations

import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import processes, temporal_server
from orderfleet_local.stack.launch import launch
from support.backing import Backing
from support.ledgers import Ledgers
from support.role_processes import RoleProcesses
from upgrades.builds import Deployment
from upgrades.versioned_orders import VersionedOrders

# Three minutes each by default.
_DRAINAGE_INTERVALS = (
    "matching.wv.VersionDrainageStatusVisibilityGracePeriod",
    "matching.wv.VersionDrainageStatusRefreshInterval",
)


@pytest.fixture
def versioned_temporal(backing: Backing) -> Iterator[str]:
    """The `host:port` of the server."""
    folder = backing.folder / f"temporal-{uuid.uuid4().hex[:8]}"
    config = tuple(f'{name}="2s"' for name in _DRAINAGE_INTERVALS)
    part = temporal_server.part(folder, provide(["temporal"])["temporal"], port=0, ui_port=None, more_config=config)
    try:
        yield temporal_server.address(launch(part, folder).ports)
    finally:
        for found in processes.find(folder).values():
            processes.end(found, by=signal.SIGKILL, timeout=10)


@pytest.fixture
async def orders(
    versioned_temporal: str, role_environment: dict[str, str], postgres_url: str, task_queues: Any, tmp_path: Path
) -> AsyncIterator[VersionedOrders]:
    """No worker runs yet."""
    ledger, name = tmp_path / "ledger.db", task_queues.orders
    environment = {
        **role_environment,
        "ORDERFLEET_TEMPORAL_ADDRESS": versioned_temporal,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_DRAIN_TIMEOUT": "10s",
        "ORDERFLEET_WORKER_DEPLOYMENT": name,
    }
    client = await Client.connect(versioned_temporal, data_converter=pydantic_data_converter)
    async with AsyncExitStack() as stack:
        role_processes = RoleProcesses(stack, environment, tmp_path)
        database = await stack.enter_async_context(Database(postgres_url, pool_size=8, timeout=timedelta(seconds=30)))
        deployment, reads = Deployment(name, versioned_temporal), OrderReads(database)
        yield VersionedOrders(client, deployment, role_processes, reads, Ledgers(ledger), task_queues)
