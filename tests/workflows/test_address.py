"""Another address at every moment: the package goes there, or the change is refused."""

from __future__ import annotations

import asyncio

import pytest
from fleet import ADDRESS, ELSEWHERE, Fleet, Gate, eventually
from temporalio.client import WorkflowUpdateFailedError

from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.status import Step
from orderfleet.services.errors import ChangeResult, OrderNotFound, OrderRefused

AUTO = Review(mode=ReviewMode.AUTO)


def went_to(fleet: Fleet, order_id: str) -> list:
    return [parcel.address for parcel in fleet.carrier.parcels[f"ship-{order_id}"]]


async def test_during_review(running: Fleet) -> None:
    handle = await running.start(running.order("a-1"))
    await running.until("a-1", lambda status: status.step is Step.MANUAL_REVIEW)
    assert await running.client.update_address("a-1", ELSEWHERE) is ChangeResult.ACCEPTED
    await running.until_recorded("a-1", lambda status: status.address == ELSEWHERE)
    await running.client.approve("a-1")
    assert (await handle.result()).address == ELSEWHERE
    assert went_to(running, "a-1") == [ELSEWHERE]


async def test_during_the_charge(running: Fleet) -> None:
    gate = Gate()
    running.provider.charging.before.append(gate)
    handle = await running.start(running.order("a-2", review=AUTO))
    await gate.reached.wait()
    await running.client.update_address("a-2", ELSEWHERE)
    gate.opened.set()
    await handle.result()
    assert went_to(running, "a-2") == [ELSEWHERE]
    recorded = (await running.recorded("a-2")).status
    assert (recorded.step, recorded.address) == (Step.SHIPPED, ELSEWHERE)


async def test_once_dispatch_is_scheduled_it_is_refused(running: Fleet) -> None:
    gate = Gate()
    running.carrier.booking.before.append(gate)
    handle = await running.start(running.order("a-3", review=AUTO))
    await gate.reached.wait()
    with pytest.raises(OrderRefused, match="being dispatched"):
        await running.client.update_address("a-3", ELSEWHERE)
    gate.opened.set()
    assert (await handle.result()).address == ADDRESS
    assert went_to(running, "a-3") == [ADDRESS]


async def test_the_last_of_several_wins(running: Fleet) -> None:
    handle = await running.start(running.order("a-5"))
    last = ELSEWHERE.model_copy(update={"street": "9 Last St"})
    for street in ("3 A St", "4 B St", "9 Last St"):
        await handle.signal("update_address", ELSEWHERE.model_copy(update={"street": street}))
    await running.client.approve("a-5")
    assert (await handle.result()).address == last
    assert went_to(running, "a-5") == [last]


async def test_a_wrong_address_is_refused_and_told(running: Fleet) -> None:
    handle = await running.start(running.order("a-6"))
    await running.until("a-6", lambda status: status.step is Step.MANUAL_REVIEW)
    with pytest.raises(OrderRefused, match=r"address\.city: is empty"):
        await running.client.update_address("a-6", ELSEWHERE.model_copy(update={"city": ""}))
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("update_address", "garbage")
    await handle.signal("update_address", ["garbage"])
    await eventually(lambda: running.kinds("a-6"), lambda kinds: kinds.count("change_refused") == 1)
    await running.client.approve("a-6")
    assert (await handle.result()).address == ADDRESS


async def test_at_random_moments_it_is_taken_or_refused_never_lost(running: Fleet) -> None:
    async def one(number: int) -> None:
        order_id = f"a-7-{number}"
        handle = await running.start(running.order(order_id, review=AUTO))
        await asyncio.sleep(number * 0.012)
        try:
            answer = await running.client.update_address(order_id, ELSEWHERE)
        except (OrderRefused, OrderNotFound):  # not found: the order has ended
            answer = None
        status = await handle.result()
        assert went_to(running, order_id) == [status.address], number
        if answer is not ChangeResult.QUEUED:
            assert status.address == (ELSEWHERE if answer else ADDRESS), number

    await asyncio.gather(*(one(number) for number in range(20)))
