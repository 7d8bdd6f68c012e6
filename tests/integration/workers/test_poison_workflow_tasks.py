"""Orders whose workflow task fails: it kills or blocks the worker, or raises.

Other orders continue, the order is visible, and it continues once the worker is fixed, as if nothing had been.
"""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.policy import OrderPolicy, StepPolicy
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.services.inspection import OrderInspector
from support.factories import automatic_order
from support.polling import eventually
from support.restarting_workers import restarting_workers
from support.role_processes import RoleProcesses

FAULTY_CODE = """
import os, signal, time
from pathlib import Path
from orderfleet.orders import activities, intake

original = activities.problems, intake.validate

def problems(order, **options):
    if order.order_id.startswith("kills") and Path(os.environ["POISON"]).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return original[0](order, **options)

async def validate(ctx):
    if ctx.order.order_id.startswith("raises") and Path(os.environ["POISON"]).exists():
        raise KeyError("a bug in the workflow's code")
    while ctx.order.order_id.startswith("hangs") and Path(os.environ["POISON"]).exists():
        time.sleep(0.1)
    await original[1](ctx)

activities.problems, intake.validate = problems, validate
"""
VALID = 3


@pytest.fixture
def faulty(tmp_path: Path) -> dict[str, str]:
    """The environment of workers whose code fails for some orders while a file exists."""
    (tmp_path / "sitecustomize.py").write_text(FAULTY_CODE)
    (tmp_path / "poison").touch()
    return {"PYTHONPATH": str(tmp_path), "POISON": str(tmp_path / "poison")}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("poison", ["kills", "raises", "hangs"])
async def test_order_whose_workflow_task_fails_is_visible_and_continues_once_the_worker_is_fixed(
    processes: RoleProcesses,
    temporal_client: Client,
    task_queues: Any,
    faulty: dict[str, str],
    poison: str,
    tmp_path: Path,
) -> None:
    # An attempt of another order that is in progress is lost with the worker.
    steps = dict.fromkeys(("charge", "prepare_package", "dispatch_carrier"), StepPolicy(attempts=20))
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, **steps)

    async def start(order_id: str) -> Any:
        return await temporal_client.start_workflow(
            names.ORDER_WORKFLOW,
            automatic_order(order_id, task_queues, policy=policy),
            id=names.order_workflow_id(order_id),
            task_queue=task_queues.orders,
            result_type=OrderStatus,
            task_timeout=timedelta(seconds=5),
        )

    inspector, poisoned = OrderInspector(temporal_client), f"{poison}-{task_queues.orders}"
    async with asyncio.timeout(380), restarting_workers(processes, 2, **faulty) as ends:
        handle_of_poisoned = await start(poisoned)
        seen = await eventually(lambda: inspector.workflow(poisoned), lambda view: view.task_attempt > 1, seconds=120)
        assert seen.state == "running"
        for handle in [await start(f"valid-{number}-{poisoned}") for number in range(VALID)]:
            assert (await handle.result()).step is Step.SHIPPED
        assert set(ends) <= {-signal.SIGKILL}
        assert bool(ends) == (poison == "kills")
        (tmp_path / "poison").unlink()
        assert (await handle_of_poisoned.result()).step is Step.SHIPPED
    assert (await inspector.workflow(poisoned)).task_attempt == 0
