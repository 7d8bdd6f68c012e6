"""The spec of an Order: one signal per generation, applied once, in any order."""

from __future__ import annotations

from orderfleet.domain.order import SpecUpdate
from orderfleet.domain.status import SpecOutcome, Step
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, AUTO, ELSEWHERE
from support.polling import eventually
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv


async def test_spec_with_approval_and_address_applies_both(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("d-1", generation=1))
    await workflow_env.client.apply_spec("d-1", SpecUpdate(generation=2, approved=True, address=ELSEWHERE))
    status = await handle.result()
    assert (status.step, status.address, status.declared.generation) == (Step.SHIPPED, ELSEWHERE, 2)
    assert (await workflow_env.recorded("d-1")).status.declared.generation == 2


async def test_spec_of_older_generation_changes_nothing(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("d-2", generation=1))
    await workflow_env.client.apply_spec("d-2", SpecUpdate(generation=3, address=ELSEWHERE))
    await workflow_env.client.apply_spec("d-2", SpecUpdate(generation=2, address=ADDRESS))
    await workflow_env.client.apply_spec("d-2", SpecUpdate(generation=3, address=ADDRESS))
    await workflow_env.client.apply_spec("d-2", SpecUpdate(generation=4, approved=True))
    assert (await handle.result()).address == ELSEWHERE


async def test_spec_with_cancel_cancels(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("d-3", generation=1))
    await workflow_env.client.apply_spec("d-3", SpecUpdate(generation=2, cancel=True))
    assert (await handle.result()).cancel_reason == "canceled in the Order"


async def test_rejected_spec_has_reason(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("d-4", review=AUTO, generation=1))
    await gate.reached.wait()
    await workflow_env.client.apply_spec("d-4", SpecUpdate(generation=2, approved=True, address=ELSEWHERE))
    status = await workflow_env.until_recorded("d-4", lambda status: status.declared.generation == 2)
    assert status.declared.outcome is SpecOutcome.REJECTED
    assert "being dispatched" in status.declared.reason
    gate.opened.set()
    assert (await handle.result()).address == ADDRESS


async def test_invalid_spec_is_recorded_and_changes_nothing(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("d-5", generation=1))
    await handle.signal("apply_spec", {"generation": "soon"})
    await eventually(lambda: workflow_env.kinds("d-5"), lambda kinds: "change_rejected" in kinds)
    await workflow_env.client.change("d-5", Change.approve())
    assert (await handle.result()).step is Step.SHIPPED
