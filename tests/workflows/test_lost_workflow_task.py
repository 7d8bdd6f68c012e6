"""A workflow task that is lost after its local activities wrote runs again, with the signals since then."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.status import Step
from support.factories import AUTO
from support.programs import module_environment
from support.workflow_env import workflow_test_env


@pytest.mark.slow
async def test_workflow_task_lost_after_write_is_replaced_by_its_second_run(
    temporal_client: Client, temporal_address: str, postgres_url: str, task_queues: Any
) -> None:
    """The first run of the task validates the order for its charge; the second one has a cancel to handle first."""
    environment = {
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
    }
    dying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workflows.dying_worker", temporal_address), env=module_environment(**environment)
    )
    async with asyncio.timeout(60):
        handle = await temporal_client.start_workflow(
            "OrderWorkflow",
            {
                "order_id": "lost-1",
                "items": [{"sku": "widget", "qty": 1, "price": "1.00"}],
                "address": {"street": "1 A St", "city": "B", "state": "C", "zip": "1", "country": "US"},
                "review": AUTO,
            },
            id="order-lost-1",
            task_queue=task_queues.orders,
            task_timeout=timedelta(seconds=2),
        )
        assert await dying.wait() == -signal.SIGKILL
        await handle.signal("cancel_order", "in the meantime")

        async with workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as second:
            before = (await second.recorded("lost-1")).status
            assert before.step is Step.CHARGE  # as the lost task wrote it
            await handle.result()
            status = (await second.recorded("lost-1")).status
            kinds = await second.kinds("lost-1")
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "in the meantime")
    assert not second.provider.charges
    assert kinds.count("received") == kinds.count("validated") == 1
    assert {"cancel_requested", "canceled"} <= set(kinds)
