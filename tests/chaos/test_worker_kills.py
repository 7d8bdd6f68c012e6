"""Workers killed at the worst moments, at least 200 times: between the provider's charge and the row's
update, between a void or a refund and its answer, between a booking and its answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kills import SEED, Nursery, Run, kill_while_ordering, nursery
from temporalio.client import Client

from books import Books
from orderfleet.services.workflow_client import OrderClient
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads

KILLS = int(os.environ.get("CHAOS_KILLS", "200"))


@pytest.fixture
def workers(temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path) -> Iterator[Nursery]:
    with nursery(
        tmp_path,
        ORDERFLEET_TEMPORAL_ADDRESS=temporal_address,
        ORDERFLEET_DATABASE_URL=postgres_url,
        ORDERS_TASK_QUEUE=task_queues.orders,
        SHIPPING_TASK_QUEUE=task_queues.shipping,
        ORDERFLEET_SIMULATED_LEDGER=str(tmp_path / "ledger.db"),
        ORDERFLEET_SIMULATED_LATENCY="120ms",
        ORDERFLEET_FAULTS=f"charge:error=0.3;seed={SEED}",
    ) as made:
        yield made


@pytest.mark.timeout(1500)
async def test_nothing_is_lost_or_paid_twice_when_workers_are_killed(
    workers: Nursery, temporal_client: Client, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        run = Run(
            client=OrderClient(temporal_client, task_queue=task_queues.orders),
            temporal=temporal_client,
            reads=OrderReads(database),
            books=Books(tmp_path / "ledger.db"),
            queues=task_queues,
            wanted=KILLS,
        )
        await kill_while_ordering(run, workers)
    for moment in ("charge", "refund", "booking"):
        assert run.kills[moment] >= KILLS // 20, f"hardly any kill after a {moment}: {run.kills}"
