"""Workers are killed while they capture, refund, release and void: at least 200 times after the provider has acted and
before its answer is stored, and also before it acts and after its answer is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
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
from support.ledgers import Ledgers

KILLS: Final = int(os.environ.get("CHAOS_KILLS", "200"))
FLEETS: Final = 3
"""Workers on queues of their own, so that a kill in one does not hold up the others."""
MONEY: Final = (Call.CAPTURE, Call.REFUND, Call.PARTIAL_REFUND, Call.RELEASE, Call.VOID)


def wanted_kills() -> dict[tuple[Call, Moment], int]:
    """`KILLS` between provider and database over the calls of `MONEY`, and some elsewhere."""
    some = max(1, KILLS // 40)
    wanted = dict.fromkeys(((call, moment) for call in MONEY for moment in Moment), some)
    wanted |= {(call, Moment.BEFORE_DATABASE): -(-KILLS // len(MONEY)) for call in MONEY}
    others = (Call.CHARGE, Call.AUTHORIZE, Call.BOOKING)
    return wanted | {(call, Moment.BEFORE_DATABASE): 2 * some for call in others}


@pytest.fixture
def queues(task_queues: Any) -> list[Any]:
    """Queues of each fleet."""
    return [
        replace(task_queues, orders=f"{task_queues.orders}-{number}", shipping=f"{task_queues.shipping}-{number}")
        for number in range(FLEETS)
    ]


@pytest.fixture
def workers(role_environment: dict[str, str], queues: list[Any], tmp_path: Path) -> Iterator[list[ForkServer]]:
    environment = role_environment | {
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_SIMULATED_LATENCY": "120ms",
        "ORDERFLEET_FAULTS": f"charge:error=0.1;seed={SEED}",
    }
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                fork_server(
                    tmp_path,
                    workers=1,
                    **environment | {"ORDERS_TASK_QUEUE": each.orders, "SHIPPING_TASK_QUEUE": each.shipping},
                )
            )
            for each in queues
        ]


@pytest.mark.timeout(1500)
async def test_killed_workers_move_money_once_and_provider_ledger_and_order_agree(
    workers: list[ForkServer], temporal_client: Client, postgres_url: str, queues: list[Any], tmp_path: Path
) -> None:
    tally, ledger = Tally(wanted_kills()), tmp_path / "ledger.db"
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        runs = [
            CallsRun(
                client=OrderClient(temporal_client, task_queue=own.orders),
                temporal=temporal_client,
                reads=OrderReads(database),
                ledgers=Ledgers(ledger),
                queues=own,
                wanted=KILLS,
                name=f"kill-{number}",
                concurrent=6,
                stop=tally.stop,
                tally=tally,
            )
            for number, own in enumerate(queues)
        ]
        fleets = list(zip(runs, workers, strict=True))
        await kill_in_calls(fleets, tally, database, postgres_url, ledger)
