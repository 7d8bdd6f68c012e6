"""Another address at each step: the package goes there, or the change is rejected."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowUpdateFailedError

from orderfleet.domain.status import Step
from orderfleet.services.changes import Change
from orderfleet.services.errors import ChangeResult, OrderChangeRejected, OrderNotFound
from support.factories import ADDRESS, AUTO, ELSEWHERE
from support.polling import eventually
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv


def shipped_to(env: WorkflowTestEnv, order_id: str) -> list:
    return [parcel.address for parcel in env.carrier.parcels[f"ship-{order_id}"]]


async def test_address_during_review_is_used(running: WorkflowTestEnv) -> None:
    handle = await running.start(running.order("a-1"))
    await running.until("a-1", lambda status: status.step is Step.MANUAL_REVIEW)
    assert await running.client.change("a-1", Change.update_address(ELSEWHERE)) is ChangeResult.ACCEPTED
    await running.until_recorded("a-1", lambda status: status.address == ELSEWHERE)
    await running.client.change("a-1", Change.approve())
    assert (await handle.result()).address == ELSEWHERE
    assert shipped_to(running, "a-1") == [ELSEWHERE]


async def test_address_during_charge_is_used(running: WorkflowTestEnv) -> None:
    gate = Gate()
    running.provider.charging.before.append(gate)
    handle = await running.start(running.order("a-2", review=AUTO))
    await gate.reached.wait()
    await running.client.change("a-2", Change.update_address(ELSEWHERE))
    gate.opened.set()
    await handle.result()
    assert shipped_to(running, "a-2") == [ELSEWHERE]
    recorded = (await running.recorded("a-2")).status
    assert (recorded.step, recorded.address) == (Step.SHIPPED, ELSEWHERE)


async def test_address_after_dispatch_is_scheduled_is_rejected(running: WorkflowTestEnv) -> None:
    gate = Gate()
    running.carrier.booking.before.append(gate)
    handle = await running.start(running.order("a-3", review=AUTO))
    await gate.reached.wait()
    with pytest.raises(OrderChangeRejected, match="being dispatched"):
        await running.client.change("a-3", Change.update_address(ELSEWHERE))
    gate.opened.set()
    assert (await handle.result()).address == ADDRESS
    assert shipped_to(running, "a-3") == [ADDRESS]


async def test_last_of_several_addresses_is_used(running: WorkflowTestEnv) -> None:
    handle = await running.start(running.order("a-5"))
    last = ELSEWHERE.model_copy(update={"street": "9 Last St"})
    for street in ("3 A St", "4 B St", "9 Last St"):
        await handle.signal("update_address", ELSEWHERE.model_copy(update={"street": street}))
    await running.client.change("a-5", Change.approve())
    assert (await handle.result()).address == last
    assert shipped_to(running, "a-5") == [last]


async def test_invalid_address_is_rejected_and_recorded(running: WorkflowTestEnv) -> None:
    handle = await running.start(running.order("a-6"))
    await running.until("a-6", lambda status: status.step is Step.MANUAL_REVIEW)
    with pytest.raises(OrderChangeRejected, match=r"address\.city: is empty"):
        await running.client.change("a-6", Change.update_address(ELSEWHERE.model_copy(update={"city": ""})))
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("update_address", "garbage")
    await handle.signal("update_address", ["garbage"])
    await eventually(lambda: running.kinds("a-6"), lambda kinds: kinds.count("change_rejected") == 1)
    await running.client.change("a-6", Change.approve())
    assert (await handle.result()).address == ADDRESS


async def test_address_at_any_time_is_accepted_or_rejected(running: WorkflowTestEnv) -> None:
    async def one(number: int) -> None:
        order_id = f"a-7-{number}"
        handle = await running.start(running.order(order_id, review=AUTO))
        await asyncio.sleep(number * 0.012)
        try:
            answer = await running.client.change(order_id, Change.update_address(ELSEWHERE))
        except (OrderChangeRejected, OrderNotFound):  # not found: the order has ended
            answer = None
        status = await handle.result()
        assert shipped_to(running, order_id) == [status.address], number
        if answer is not ChangeResult.QUEUED:
            assert status.address == (ELSEWHERE if answer else ADDRESS), number

    await asyncio.gather(*(one(number) for number in range(20)))
