"""Another address at each step: the package goes there, or the change is rejected."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from orderfleet.domain.order import Address
from orderfleet.domain.policy import AddressChecks, OrderPolicy
from orderfleet.domain.status import Step
from orderfleet.domain.validation import problems
from orderfleet.services.errors import ChangeResult, OrderChangeRejected, OrderNotFound
from orderfleet.services.workflow_client import Change
from orderfleet.settings import Settings
from support.factories import ADDRESS, AUTO, ELSEWHERE, order_input, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv, workflow_test_env


def shipped_to(env: WorkflowTestEnv, order_id: str) -> list:
    return [parcel.address for parcel in env.carrier.parcels[f"ship-{order_id}"]]


@pytest.mark.slow
async def test_address_during_review_is_used(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("a-1"))
    await workflow_env.until("a-1", lambda status: status.step is Step.MANUAL_REVIEW)
    assert await workflow_env.client.change("a-1", Change.update_address(ELSEWHERE)) is ChangeResult.ACCEPTED
    await workflow_env.until_recorded("a-1", lambda status: status.address == ELSEWHERE)
    await workflow_env.client.change("a-1", Change.approve())
    assert (await handle.result()).address == ELSEWHERE
    assert shipped_to(workflow_env, "a-1") == [ELSEWHERE]


@pytest.mark.slow
async def test_address_during_charge_is_used(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.provider.charging.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("a-2", review=AUTO))
    await gate.reached.wait()
    await workflow_env.client.change("a-2", Change.update_address(ELSEWHERE))
    gate.opened.set()
    await handle.result()
    assert shipped_to(workflow_env, "a-2") == [ELSEWHERE]
    recorded = (await workflow_env.recorded("a-2")).status
    assert (recorded.step, recorded.address) == (Step.SHIPPED, ELSEWHERE)


async def test_address_after_dispatch_is_scheduled_is_rejected(workflow_env: WorkflowTestEnv) -> None:
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order("a-3", review=AUTO))
    await gate.reached.wait()
    with pytest.raises(OrderChangeRejected, match="being dispatched"):
        await workflow_env.client.change("a-3", Change.update_address(ELSEWHERE))
    gate.opened.set()
    assert (await handle.result()).address == ADDRESS
    assert shipped_to(workflow_env, "a-3") == [ADDRESS]


async def test_last_of_several_addresses_is_used(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("a-5"))
    last = ELSEWHERE.model_copy(update={"street": "9 Last St"})
    for street in ("3 A St", "4 B St", "9 Last St"):
        await handle.signal("update_address", ELSEWHERE.model_copy(update={"street": street}))
    await workflow_env.client.change("a-5", Change.approve())
    assert (await handle.result()).address == last
    assert shipped_to(workflow_env, "a-5") == [last]


async def test_invalid_address_is_rejected_and_recorded(workflow_env: WorkflowTestEnv) -> None:
    handle = await workflow_env.start(workflow_env.order("a-6"))
    await workflow_env.until("a-6", lambda status: status.step is Step.MANUAL_REVIEW)
    with pytest.raises(OrderChangeRejected, match=r"address\.city: is required in US"):
        await workflow_env.client.change("a-6", Change.update_address(ELSEWHERE.model_copy(update={"city": ""})))
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("update_address", "garbage")
    await handle.signal("update_address", ["garbage"])
    await eventually(lambda: workflow_env.kinds("a-6"), lambda kinds: kinds.count("change_rejected") == 1)
    await workflow_env.client.change("a-6", Change.approve())
    assert (await handle.result()).address == ADDRESS


WORLD = Address(
    name="\u200f\u05de\u05e8\u05d9\u05dd\u200e",
    company="\N{ROCKET} \N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL} Ltd",
    street="1 Nathan Road",
    street2="Flat 7\n8/F",
    district="\u65fa\u89d2",
    state="Kowloon",
    country="HK",
    phone="+852 5555 0100",
)
"""Every field but the two that Hong Kong does not have."""


async def test_every_field_in_any_script_reaches_the_carrier_from_start_and_change(
    workflow_env: WorkflowTestEnv,
) -> None:
    for number, (first, change) in enumerate([(WORLD, None), (ADDRESS, WORLD)]):
        handle = await workflow_env.start(workflow_env.order(f"a-8-{number}", address=first))
        if change is not None:
            await handle.signal("update_address", change.model_dump(exclude_defaults=True))
        await handle.signal("approve")
        assert (await handle.result()).address == WORLD
        assert shipped_to(workflow_env, f"a-8-{number}") == [WORLD]
        assert (await workflow_env.recorded(f"a-8-{number}")).status.address == WORLD


CHECKS = [
    (AddressChecks(validation="basic"), {"zip": ""}, None),
    (AddressChecks(validation="basic"), {"city": "", "country": ""}, "address.city: is empty"),
    (AddressChecks(), {"state": "TS", "zip": "0"}, None),
    (AddressChecks(), {"state": "", "zip": "", "country": ""}, None),
    (
        AddressChecks(default_country="US"),
        {"state": "", "country": ""},
        "address.state: is required in US; write one of AL",
    ),
    (AddressChecks(validation="strict"), {"state": "TS"}, "address.state: is not one that US has"),
    (None, {"state": "", "zip": "", "country": ""}, None),
    (None, {"zip": ""}, "address.zip: is required in US; write it as 95014"),
]


@pytest.mark.parametrize(("checks", "change", "problem"), CHECKS)
async def test_change_is_checked_as_the_order_was_at_its_start(
    workflow_env: WorkflowTestEnv, checks: AddressChecks | None, change: dict[str, str], problem: str | None
) -> None:
    """The worker's own settings, the defaults, apply only to an order whose policy does not say."""
    order_id = f"a-9-{CHECKS.index((checks, change, problem))}"
    handle = await workflow_env.start(
        workflow_env.order(order_id, policy=quick_policy(workflow_env.settings, address_checks=checks))
    )
    await workflow_env.until(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    changed = ELSEWHERE.model_copy(update=change)
    await handle.signal("update_address", changed)
    await handle.signal("approve")
    status = await handle.result()
    assert status.address == (changed if problem is None else ADDRESS)
    rejected = [
        each.detail["reason"] for each in await workflow_env.reads.events(order_id) if each.kind == "change_rejected"
    ]
    assert [reason.startswith(problem or "-") for reason in rejected] == [True] * (problem is not None)


async def test_raw_order_keeps_the_checks_of_the_worker_that_validated_it(
    temporal_client, postgres_url, task_queues, monkeypatch
) -> None:
    strict = AddressChecks(validation="strict", default_country="US")
    monkeypatch.setattr(Settings, "address_checks", lambda _: strict)
    invalid = ADDRESS.model_copy(update={"state": "TS", "country": ""})
    queues = (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues) as env:
        raw = quick_policy(env.settings, address_checks=None)
        handle = await env.start(env.order("a-11", policy=raw))
        await env.until("a-11", lambda status: status.step is Step.MANUAL_REVIEW)
        rejected = await env.start(env.order("a-12", policy=raw, address=invalid))
        with pytest.raises(WorkflowFailureError) as failed:
            await rejected.result()
        assert "address.state: is not one that US has" in str(failed.value.cause)
    monkeypatch.undo()
    async with workflow_test_env(temporal_client, postgres_url, *queues) as env:
        with pytest.raises(OrderChangeRejected, match=r"address\.state: is not one that US has"):
            await env.client.change("a-11", Change.update_address(invalid))
        await env.client.change("a-11", Change.approve())
        assert (await handle.result()).address == ADDRESS


async def test_address_of_a_raw_start_is_checked_by_the_settings_of_the_worker() -> None:
    raw = order_input("a-10", address=ADDRESS.model_copy(update={"state": "TS"}))
    strict = AddressChecks(validation="strict")
    assert not problems(raw)
    assert [each.partition(":")[0] for each in problems(raw, address_checks=strict)] == ["address.state"]
    frozen = raw.model_copy(update={"policy": OrderPolicy(address_checks=AddressChecks())})
    assert not problems(frozen, address_checks=strict)


@pytest.mark.slow
async def test_address_at_any_time_is_accepted_or_rejected(workflow_env: WorkflowTestEnv) -> None:
    async def one(number: int) -> None:
        order_id = f"a-7-{number}"
        handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
        await asyncio.sleep(number * 0.012)
        try:
            answer = await workflow_env.client.change(order_id, Change.update_address(ELSEWHERE))
        except (OrderChangeRejected, OrderNotFound):  # not found: the order has ended
            answer = None
        status = await handle.result()
        assert shipped_to(workflow_env, order_id) == [status.address], number
        if answer is not ChangeResult.QUEUED:
            assert status.address == (ELSEWHERE if answer else ADDRESS), number

    await asyncio.gather(*(one(number) for number in range(20)))
