"""Postgres is unavailable during each step: the order waits for it, and no attempt is used up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.errors import CarrierRefused, CarrierUnavailable, ProviderUnavailable
from orderfleet.domain.status import Step
from support.factories import AUTO
from support.scripted_providers import fails
from support.unreliable_store import StoreOutage
from support.workflow_env import WorkflowTestEnv, workflow_test_env

CALLS = ["receive", "record", "begin_payment", "finish_payment", "record_shipment"]


@pytest.fixture
async def flaky(
    temporal_client: Client, postgres_url: str, task_queues: Any
) -> AsyncIterator[tuple[WorkflowTestEnv, StoreOutage]]:
    outage, queues = StoreOutage(), (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues, record=outage.order_store) as made:
        yield made, outage


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("when", ["unavailable", "lost"])
async def test_store_outage_in_any_call_uses_no_attempt(
    flaky: tuple[WorkflowTestEnv, StoreOutage], call: str, when: str
) -> None:
    workflow_env, outage = flaky
    order_id = f"o-{when}-{call}"
    getattr(outage, when)[call] = 6  # more than the attempts of any step
    status = await (await workflow_env.start(workflow_env.order(order_id, review=AUTO))).result()

    assert status.step is Step.SHIPPED
    assert status.retries == {}
    assert getattr(outage, when)[call] < 6
    recorded = (await workflow_env.recorded(order_id)).status
    assert recorded.step is Step.SHIPPED
    assert workflow_env.provider.balance(f"pay-{order_id}") == 1
    kinds = await workflow_env.kinds(order_id)
    assert len(kinds) == len(set(kinds)) == 8


async def test_ended_order_during_outage_keeps_its_last_error(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    """Readers may have the end already, since only the result of the write was lost."""
    workflow_env, outage = flaky
    handle = await workflow_env.start(workflow_env.order("o-last-word"))
    await workflow_env.until_recorded("o-last-word", lambda status: status.step is Step.MANUAL_REVIEW)
    outage.lost["record"] = 2
    await handle.signal("cancel_order", "changed my mind")
    status = await handle.result()
    assert outage.lost["record"] < 2
    assert (status.step, status.last_error) == (Step.CANCELED, None)
    assert (await workflow_env.recorded("o-last-word")).status.last_error is None


@pytest.mark.slow
async def test_attempts_before_outage_count_toward_the_limit(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    workflow_env, outage = flaky

    async def unavailable_provider_then_outage() -> None:
        outage.unavailable["begin_payment"] = 2
        raise ProviderUnavailable("503")

    workflow_env.provider.charging.before += [
        unavailable_provider_then_outage,
        *[fails(ProviderUnavailable("503"))] * 9,
    ]
    handle = await workflow_env.start(workflow_env.order("o-used", review=AUTO))
    with pytest.raises(Exception, match="Workflow execution failed"):
        await handle.result()
    assert len(workflow_env.provider.charging.before) == 10 - 3


@pytest.mark.parametrize("when", ["unavailable", "lost"])
@pytest.mark.parametrize("then", ["booked", "refused"])
async def test_attempts_before_outage_count_in_status_and_database(
    flaky: tuple[WorkflowTestEnv, StoreOutage], when: str, then: str
) -> None:
    """The second attempt books, and the write of the booking fails; the next attempt counts as the second again."""
    workflow_env, outage = flaky
    order_id = f"o-counted-{when}-{then}"

    async def carrier_error_then_outage() -> None:
        getattr(outage, when)["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    workflow_env.carrier.booking.before += [carrier_error_then_outage]
    if then == "refused":
        workflow_env.carrier.booking.before += [_succeeds, fails(CarrierRefused("who are you?"))]
    status = await (await workflow_env.start(workflow_env.order(order_id, review=AUTO))).result()
    recorded = (await workflow_env.recorded(order_id)).status
    assert status.step is recorded.step is Step.SHIPPED
    assert [shipment.attempts for shipment in status.shipments] == [2]
    assert recorded.shipments == status.shipments
    recorded_attempts = [
        event.detail["attempt"] for event in await workflow_env.events(order_id) if event.kind == "attempt_failed"
    ]
    assert recorded_attempts == [1]
    if then == "booked":
        assert status.retries == recorded.retries == {"dispatch_carrier": 1}


@pytest.mark.slow
async def test_attempts_after_outage_continue_the_count(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    workflow_env, outage = flaky

    async def carrier_error_then_outage() -> None:
        outage.unavailable["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    busy = fails(CarrierUnavailable("still no van"))
    workflow_env.carrier.booking.before += [carrier_error_then_outage, _succeeds, busy]
    status = await (await workflow_env.start(workflow_env.order("o-counted-on", review=AUTO))).result()
    assert [shipment.attempts for shipment in status.shipments] == [3]
    assert (await workflow_env.recorded("o-counted-on")).status.shipments == status.shipments
    recorded_attempts = [
        event.detail["attempt"] for event in await workflow_env.events("o-counted-on") if event.kind == "attempt_failed"
    ]
    assert recorded_attempts == [1, 2]


async def _succeeds() -> None:
    """A behavior that lets a call do its work."""
