"""Which steps run as local activities, and which as regular ones."""

from __future__ import annotations

import pytest
from temporalio.api.enums.v1 import EventType

from support.factories import AUTO
from support.workflow_env import WorkflowTestEnv


@pytest.mark.slow
async def test_calls_of_providers_are_never_local_activities(workflow_env: WorkflowTestEnv) -> None:
    """A call that can block for long is a regular activity, which Temporal shows and which delays no signal."""
    handle = await workflow_env.start(workflow_env.order("k-1", review=AUTO))
    await handle.result()
    shipment = workflow_env.temporal.get_workflow_handle("shipping-k-1-1")
    regular = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for each in (handle, shipment)
        for event in (await each.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert regular == ["charge", "dispatch_carrier"]
