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
    running, outage = flaky
    order_id = f"o-{when}-{call}"
    getattr(outage, when)[call] = 6  # more than the attempts of any step
    status = await (await running.start(running.order(order_id, review=AUTO))).result()

    assert status.step is Step.SHIPPED
    assert status.retries == {}
    assert getattr(outage, when)[call] < 6
    recorded = (await running.recorded(order_id)).status
    assert recorded.step is Step.SHIPPED
    assert running.provider.balance(f"pay-{order_id}") == 1
    kinds = await running.kinds(order_id)
    assert len(kinds) == len(set(kinds)) == 8


async def test_ended_order_during_outage_keeps_its_last_error(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    """Readers may have the end already, since only the result of the write was lost."""
    running, outage = flaky
    handle = await running.start(running.order("o-last-word"))
    await running.until_recorded("o-last-word", lambda status: status.step is Step.MANUAL_REVIEW)
    outage.lost["record"] = 2
    await handle.signal("cancel_order", "changed my mind")
    status = await handle.result()
    assert outage.lost["record"] < 2
    assert (status.step, status.last_error) == (Step.CANCELED, None)
    assert (await running.recorded("o-last-word")).status.last_error is None


@pytest.mark.slow
async def test_attempts_before_outage_count_toward_the_limit(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    running, outage = flaky

    async def unavailable_provider_then_outage() -> None:
        outage.unavailable["begin_payment"] = 2
        raise ProviderUnavailable("503")

    running.provider.charging.before += [unavailable_provider_then_outage, *[fails(ProviderUnavailable("503"))] * 9]
    handle = await running.start(running.order("o-used", review=AUTO))
    with pytest.raises(Exception, match="Workflow execution failed"):
        await handle.result()
    assert len(running.provider.charging.before) == 10 - 3


@pytest.mark.parametrize("when", ["unavailable", "lost"])
@pytest.mark.parametrize("then", ["booked", "refused"])
async def test_attempts_before_outage_count_in_status_and_database(
    flaky: tuple[WorkflowTestEnv, StoreOutage], when: str, then: str
) -> None:
    """The second attempt books, and the write of the booking fails; the next attempt counts as the second again."""
    running, outage = flaky
    order_id = f"o-counted-{when}-{then}"

    async def carrier_error_then_outage() -> None:
        getattr(outage, when)["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    running.carrier.booking.before += [carrier_error_then_outage]
    if then == "refused":
        running.carrier.booking.before += [_succeeds, fails(CarrierRefused("who are you?"))]
    status = await (await running.start(running.order(order_id, review=AUTO))).result()
    recorded = (await running.recorded(order_id)).status
    assert status.step is recorded.step is Step.SHIPPED
    assert [shipment.attempts for shipment in status.shipments] == [2]
    assert recorded.shipments == status.shipments
    recorded_attempts = [
        event.detail["attempt"] for event in await running.events(order_id) if event.kind == "attempt_failed"
    ]
    assert recorded_attempts == [1]
    if then == "booked":
        assert status.retries == recorded.retries == {"dispatch_carrier": 1}


@pytest.mark.slow
async def test_attempts_after_outage_continue_the_count(flaky: tuple[WorkflowTestEnv, StoreOutage]) -> None:
    running, outage = flaky

    async def carrier_error_then_outage() -> None:
        outage.unavailable["record_shipment"] = 1
        raise CarrierUnavailable("no van")

    busy = fails(CarrierUnavailable("still no van"))
    running.carrier.booking.before += [carrier_error_then_outage, _succeeds, busy]
    status = await (await running.start(running.order("o-counted-on", review=AUTO))).result()
    assert [shipment.attempts for shipment in status.shipments] == [3]
    assert (await running.recorded("o-counted-on")).status.shipments == status.shipments
    recorded_attempts = [
        event.detail["attempt"] for event in await running.events("o-counted-on") if event.kind == "attempt_failed"
    ]
    assert recorded_attempts == [1, 2]


async def _succeeds() -> None:
    """A behavior that lets a call do its work."""
