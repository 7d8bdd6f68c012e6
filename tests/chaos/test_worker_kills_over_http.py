"""Workers are killed and responses are lost, while payment provider and carrier are a service over HTTP.

The service's own ledger decides: it has done the work even if the response was lost.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.client import Client

from chaos.kill_calls import kill_in_calls
from chaos.kill_moments import Call, Moment
from chaos.kill_orders import CallsRun, Tally
from chaos.kills import SEED, ForkServer, fork_server
from orderfleet.services.workflow_client import OrderClient
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from provider_server.faults import AFTER
from provider_server.process import ProviderServer, provider_server
from support.ledgers import Ledgers

KILLS: Final = int(os.environ.get("CHAOS_KILLS_OVER_HTTP", "24"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    # Each response is delayed after the work is done, and its worker is killed during the delay.
    options = ("--rate", "0.3", "--seed", str(SEED), "--late", "0.9", "--pause", "0.12", "--held-back", "0.5")
    with provider_server(tmp_path, *options) as made:
        yield made


@pytest.fixture
def workers(role_environment: dict[str, str], server: ProviderServer, tmp_path: Path) -> Iterator[ForkServer]:
    with fork_server(
        tmp_path,
        **role_environment,
        ORDERFLEET_PAYMENT_PROVIDER="http",
        ORDERFLEET_PAYMENT_URL=server.url,
        ORDERFLEET_PAYMENT_TIMEOUT="600ms",
        ORDERFLEET_CARRIER="http",
        ORDERFLEET_CARRIER_URL=server.url,
        ORDERFLEET_CARRIER_TIMEOUT="600ms",
    ) as made:
        yield made


@pytest.mark.timeout(400)
async def test_killed_workers_and_lost_responses_move_money_once_and_ship_once(
    workers: ForkServer, server: ProviderServer, temporal_client: Client, postgres_url: str, task_queues: Any
) -> None:
    tally = Tally({(call, Moment.BEFORE_DATABASE): max(1, KILLS // len(Call)) for call in Call})
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        run = CallsRun(
            client=OrderClient(temporal_client, task_queue=task_queues.orders),
            temporal=temporal_client,
            reads=OrderReads(database),
            ledgers=Ledgers(server.ledger),
            queues=task_queues,
            wanted=KILLS,
            name="kill-http",
            # Faults and kills use attempts; most orders should still be charged in the end.
            charge_attempts=6,
            stop=tally.stop,
            tally=tally,
        )
        await kill_in_calls([(run, workers)], tally, database, postgres_url, server.ledger)

    calls = server.calls()
    met = Counter(call["fault"] for call in calls)
    keys = Counter(call["headers"].get("Idempotency-Key") for call in calls if call["method"] == "POST")
    print(f"  over HTTP       {len(calls)} calls, {met}")
    assert max(keys.values()) > 1, "at least one call was repeated, and moved its money once"
    assert sum(met[fault] for fault in AFTER), "responses were lost after the work was done"
