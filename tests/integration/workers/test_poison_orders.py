"""An order that kills each worker process that charges it: its attempts bound what it costs the fleet."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.policy import OrderPolicy, StepPolicy
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.providers.registry import PAYMENT_PROVIDERS
from orderfleet.services.workflow_client import OrderClient
from support.factories import automatic_order
from support.restarting_workers import restarting_workers
from support.role_processes import RoleProcesses

ATTEMPTS = 3
DEADLY = """
import os, signal
from contextlib import asynccontextmanager
from pathlib import Path
from orderfleet.providers.payments.simulated import SimulatedPayments

def kill(payment):
    if payment.order_id.startswith("poison"):
        os.kill(os.getpid(), signal.SIGKILL)

class Deadly(SimulatedPayments):
    async def charge(self, payment):
        charge = await super().charge(payment)
        kill(payment)
        return charge

    async def look_up(self, payment):
        kill(payment)
        return await super().look_up(payment)

@asynccontextmanager
async def make(given):
    yield Deadly(ledger=Path(os.environ["DEADLY_LEDGER"]))
"""


@pytest.fixture
def deadly(tmp_path: Path, ledger: Path) -> dict[str, str]:
    """The environment of workers whose provider charges a poison order, and kills the process then and later."""
    described = tmp_path / "deadly-1.0.dist-info"
    described.mkdir()
    (tmp_path / "deadly.py").write_text(DEADLY)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[{PAYMENT_PROVIDERS.group}]\ndeadly = deadly:make\n")
    return {"PYTHONPATH": str(tmp_path), "ORDERFLEET_PAYMENT_PROVIDER": "deadly", "DEADLY_LEDGER": str(ledger)}


@pytest.mark.slow
async def test_order_that_kills_its_worker_fails_after_its_attempts_and_others_ship(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, ledger: Path, deadly: dict[str, str]
) -> None:
    client = OrderClient(temporal_client, task_queue=task_queues.orders)

    def policy(attempts: int) -> OrderPolicy:
        steps = {"charge", "prepare_package", "dispatch_carrier"}
        step = StepPolicy(attempt_timeout="3s", initial_interval="100ms", attempts=attempts)
        return OrderPolicy(shipping_task_queue=task_queues.shipping, **dict.fromkeys(steps, step))

    # An attempt of another order that is in progress is lost with the worker, and one can time out on a busy machine.
    retried = policy(attempts=20)

    async def result(order_id: str) -> OrderStatus:
        return await temporal_client.get_workflow_handle(f"order-{order_id}", result_type=OrderStatus).result()

    async with asyncio.timeout(200), restarting_workers(processes, 2, **deadly) as ends:
        await client.start(automatic_order("poison-1", task_queues, policy=policy(ATTEMPTS)))
        for number in range(10):
            await client.start(automatic_order(f"valid-{number}", task_queues, policy=retried))
        for number in range(10):
            assert (await result(f"valid-{number}")).step is Step.SHIPPED
        with pytest.raises(WorkflowFailureError) as failure:
            await result("poison-1")
        assert "charge timed out" in str(failure.value.cause)
        await client.start(automatic_order("valid-last", task_queues, policy=retried))
        assert (await result("valid-last")).step is Step.SHIPPED
        assert ends == [-signal.SIGKILL] * ATTEMPTS

    with sqlite3.connect(ledger) as connection:
        money = Counter(connection.execute("select payment_id, kind from payment_entries").fetchall())
    poison = {kind: money.pop((payment, kind)) for payment, kind in list(money) if payment == "pay-poison-1"}
    assert poison == {"charge": 1, "void": 1, "refund": 1}
    assert set(money.values()) == {1}
    assert {kind for _, kind in money} == {"charge"}
    assert len(money) == 11
