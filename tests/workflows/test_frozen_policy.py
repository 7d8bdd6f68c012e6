"""An order keeps the settings that it started with, also over several runs."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowFailureError

from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.domain.events import EventKind
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import Step
from support.factories import AUTO, quick_policy
from support.scripted_providers import fails
from support.workflow_env import WorkflowTestEnv

SIGNALS = 2_000


async def test_running_order_keeps_its_settings(workflow_env: WorkflowTestEnv) -> None:
    """The workers have other settings by then."""
    mine = StepPolicy(attempt_timeout="2s", initial_interval="10ms", attempts=1)
    assert workflow_env.settings.order_policy().charge.attempts != mine.attempts
    workflow_env.provider.charging.before += [fails(ProviderUnavailable("503"))] * 5
    policy = quick_policy(workflow_env.settings, charge=mine)
    handle = await workflow_env.start(workflow_env.order("p-1", review=AUTO, policy=policy))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert len(workflow_env.provider.charging.before) == 5 - 1


@pytest.mark.slow
async def test_order_with_thousands_of_signals_ships(workflow_env: WorkflowTestEnv) -> None:
    order = workflow_env.order("p-2", policy=quick_policy(workflow_env.settings, changes_per_run=400))
    handle = await workflow_env.start(order)
    for begin in range(0, SIGNALS, 50):
        addresses = [
            order.address.model_copy(update={"street": f"{number} Long St"}) for number in range(begin, begin + 50)
        ]
        await asyncio.gather(*(handle.signal("update_address", address) for address in addresses))
    last = order.address.model_copy(update={"street": "the last St"})
    await handle.signal("update_address", last)
    await handle.signal("approve")
    status = await handle.result()
    assert (status.step, status.address) == (Step.SHIPPED, last)
    assert [parcel.address for parcel in workflow_env.carrier.parcels["ship-p-2"]] == [last]
    kinds = [event.kind for event in await workflow_env.reads.events("p-2", limit=SIGNALS * 2)]
    assert kinds.count(EventKind.ADDRESS_CHANGED) == SIGNALS + 1
    assert workflow_env.provider.charges["pay-p-2"] == 1
