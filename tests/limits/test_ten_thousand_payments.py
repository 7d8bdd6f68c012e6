"""A reconciliation of many payments, in bounded memory and history, and one whose worker is killed.

`ORDERFLEET_TEST_PAYMENTS` changes their number.
"""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner

from orderfleet.domain import names
from orderfleet.domain.payment import Movement, MovementKind, ProviderPayment, ProviderStatus
from orderfleet.domain.reconciliation_run import Reconciliation, ReconciliationProgress
from orderfleet.providers.payments.simulated import SimulatedPayments
from support.polling import eventually
from support.role_processes import RoleProcesses
from support.sample_rows import payment
from support.workflow_env import workflow_test_env

PAYMENTS: Final = int(os.environ.get("ORDERFLEET_TEST_PAYMENTS", "10000"))
EVERY: Final = 100
"""Of so many payments, one is refunded in the provider's dashboard."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""Limit of the memory in use at any moment, as Python allocates it; the payments together are far above it."""
MAX_HISTORY: Final = 100 * 1024

_INSERT: Final = """
with received as (
    insert into orders (order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name,
        customer_email, items, address, payment_id, amount, currency, step, created_at, updated_at)
    select 'many-' || n, 'order-many-' || n, 'run', 'run', '', '', '', '', '', '[]', '{}', 'pay-many-' || n, 900, 'USD',
        'shipped', now(), now()
    from generate_series(1, $1) as n
    returning order_id, payment_id
)
insert into payments (payment_id, order_id, amount, currency) select payment_id, order_id, 900, 'USD' from received
"""
_CHARGE: Final = """
insert into payment_entries (payment_id, kind, key, amount, currency, source, reference, at)
select payment_id, 'captured', payment_id, 900, 'USD', 'order', 'ch-' || payment_id, now() from payments
"""


class ListedPayments(SimulatedPayments):
    """A provider that lists payments one by one, as a service does page by page."""

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        if not since <= CHARGED_AT < until:
            return
        for number in range(1, PAYMENTS + 1):
            yield _listed(number)


CHARGED_AT: Final = datetime.now(UTC) - timedelta(minutes=90)


def _listed(number: int) -> ProviderPayment:
    payment_id = f"pay-many-{number}"
    charge = Movement(
        kind=MovementKind.CAPTURED, key=payment_id, reference=f"ch-{payment_id}", amount=900, at=CHARGED_AT
    )
    refund = Movement(kind=MovementKind.REFUNDED, reference=f"re-{payment_id}", amount=100, at=CHARGED_AT)
    return ProviderPayment(
        payment_id=payment_id,
        order_id=f"many-{number}",
        reference=f"ch-{payment_id}",
        currency="USD",
        amount=900,
        status=ProviderStatus.CAPTURED,
        authorized=900,
        movements=(charge,) if number % EVERY else (charge, refund),
    )


async def _start(client: Client, queue: str, **changes: Any) -> WorkflowHandle[Any, ReconciliationProgress]:
    given = {"grace": timedelta(0), "since": datetime.now(UTC) - timedelta(hours=2), **changes}
    return await client.start_workflow(
        names.RECONCILIATION_WORKFLOW,
        Reconciliation(**given),
        id=names.reconciliation_command_id(queue),
        task_queue=queue,
        result_type=ReconciliationProgress,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_many_payments_are_compared_in_bounded_memory_and_history(
    temporal_client: Client, postgres_url: str, task_queues: Any
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(_INSERT.replace("$1", str(PAYMENTS)))
    await connection.execute(_CHARGE)
    # Inserting takes longer than an autovacuum's pause on a busy machine; plans must not depend on it.
    await connection.execute("analyze")
    queues = task_queues.orders, task_queues.shipping
    async with workflow_test_env(
        temporal_client, postgres_url, *queues, provider=ListedPayments(), runner=UnsandboxedWorkflowRunner
    ):
        # Entries of now are compared with what the provider listed for the hours before; the window ends before them.
        until = CHARGED_AT + timedelta(minutes=1)
        warm = await _start(temporal_client, task_queues.orders, since=until - timedelta(hours=30), until=CHARGED_AT)
        await warm.result()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            handle = await _start(temporal_client, task_queues.orders, until=until)
            result = await handle.result()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    print(f"{PAYMENTS} payments: {(peak - before) / 2**20:.1f} MiB")
    found = PAYMENTS // EVERY
    assert (result.compared, result.found, result.repaired) == (PAYMENTS, found, found)
    assert peak - before < MAX_BYTES
    description = await handle.describe()
    assert description.raw_description.workflow_execution_info.history_size_bytes < MAX_HISTORY
    refunded = await connection.fetchval("select count(*) from payments where status = 'PARTIALLY_REFUNDED'")
    await connection.close()
    assert refunded == found


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_reconciliation_whose_worker_is_killed_continues_and_finds_everything_once(
    role_environment: dict[str, str], temporal_client: Client, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    lost = 3000
    ledger = tmp_path / "ledger.db"
    provider = SimulatedPayments(ledger=ledger)
    for number in range(lost):
        await provider.charge(payment(f"lost-{number}"))
    connection = await asyncpg.connect(postgres_url)

    async def recorded() -> int:
        return int(await connection.fetchval("select count(*) from payment_differences"))

    environment = {
        **role_environment,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_RECONCILIATION_INTERVAL": "0s",
    }
    async with AsyncExitStack() as stack:
        processes = RoleProcesses(stack, environment, tmp_path)
        first = await processes.worker("orders")
        await first.answers("/readyz", 200)
        handle = await _start(temporal_client, task_queues.orders)
        before = await eventually(recorded, bool, 60)
        first.process.kill()
        await first.ends()
        assert before <= await recorded() < lost, "the worker was killed too late"
        second = await processes.worker("orders")
        await second.answers("/readyz", 200)
        result = await asyncio.wait_for(handle.result(), 200)
    assert await recorded() == lost
    query = "select kind, count(*), bool_or(resolved_at is not null) from payment_differences group by kind"
    kinds = await connection.fetch(query)
    await connection.close()
    assert [tuple(row) for row in kinds] == [("payment_not_in_ledger", lost, False)]
    assert result.open.unsafe == lost
