"""One order gets 10,000 signals while it waits: none is lost, and the history of each run stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orderfleet.domain.status import Step
from orderfleet.services.errors import TemporalUnavailable
from support.factories import ADDRESS
from support.workflow_env import WorkflowTestEnv, workflow_test_env

SIGNALS = 10_000
CONCURRENCY = 50
PER_RUN = 1000
MAX_EVENTS_PER_RUN = 50_000
"""Temporal terminates a workflow whose run has more events."""
MAX_CARRIED_BYTES = 512 * 1024
"""Limit of the JSON that a run passes to the next one, in bytes, for any number of signals."""


@pytest.fixture
async def workflow_env(temporal_client, postgres_url, task_queues) -> AsyncIterator[WorkflowTestEnv]:
    async with workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_order_with_ten_thousand_signals_has_bounded_histories(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("many-1")
    assert order.policy.changes_per_run == PER_RUN
    handle = await workflow_env.start(order)
    numbers = iter(range(SIGNALS))
    repeats = 0

    async def send_signal(signal: str, *args: Any) -> None:
        """Send a signal and repeat it after an error, which doesn't say whether the signal was accepted."""
        nonlocal repeats
        while True:
            with contextlib.suppress(TemporalUnavailable):
                await workflow_env.client.signal("many-1", signal, args)
                return
            repeats += 1
            await asyncio.sleep(0.5)

    async def send() -> None:
        for number in numbers:
            await send_signal("update_address", ADDRESS.model_copy(update={"street": f"{number} Long St"}))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(send())
    last = ADDRESS.model_copy(update={"street": "the last one"})
    await send_signal("update_address", last)
    await send_signal("approve")
    async with asyncio.timeout(1200):
        status = await handle.result()
    assert (status.step, status.address) == (Step.SHIPPED, last)
    rows = await workflow_env.database.fetch("select count(*) from events where kind = 'address_changed'")
    assert SIGNALS + 1 <= rows[0][0] <= SIGNALS + 1 + repeats

    lengths, carried, run_id = [], [], handle.first_execution_run_id
    while run_id:
        history = await workflow_env.temporal.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        lengths.append(len(history.events))
        carried.append(history.events[0].workflow_execution_started_event_attributes.input.ByteSize())
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    assert len(lengths) > 1
    assert max(lengths) < MAX_EVENTS_PER_RUN, lengths
    assert max(carried) < MAX_CARRIED_BYTES, carried
    print(f"\n{SIGNALS} signals: {len(lengths)} runs of at most {max(lengths)} events, {max(carried)} bytes carried")
