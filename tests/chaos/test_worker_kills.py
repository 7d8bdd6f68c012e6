"""Workers are killed at least 200 times: after the provider's charge and before the row's update, and before the
response to a void, a refund or a booking.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from chaos.kills import SEED, ForkServer, Run, fork_server, kill_while_ordering
from orderfleet.services.workflow_client import OrderClient
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from support.ledgers import Ledgers

KILLS = int(os.environ.get("CHAOS_KILLS", "200"))


@pytest.fixture
def workers(role_environment: dict[str, str], tmp_path: Path) -> Iterator[ForkServer]:
    with fork_server(
        tmp_path,
        **role_environment,
        ORDERFLEET_SIMULATED_LEDGER=str(tmp_path / "ledger.db"),
        ORDERFLEET_SIMULATED_LATENCY="120ms",
        ORDERFLEET_FAULTS=f"charge:error=0.3;seed={SEED}",
    ) as made:
        yield made


@pytest.mark.timeout(1500)
async def test_killed_workers_lose_no_order_and_charge_once(
    workers: ForkServer, temporal_client: Client, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        run = Run(
            client=OrderClient(temporal_client, task_queue=task_queues.orders),
            temporal=temporal_client,
            reads=OrderReads(database),
            ledgers=Ledgers(tmp_path / "ledger.db"),
            queues=task_queues,
            wanted=KILLS,
        )
        await kill_while_ordering(run, workers)
    for entry_kind in ("charge", "refund", "booking"):
        assert run.kills[entry_kind] >= KILLS // 20, f"too few kills after a {entry_kind}: {run.kills}"
