"""Postgres is killed for half a minute while orders are at every step: each ends correctly and uses no attempt."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.store.migrate import migrate
from support.factories import AUTO, quick_policy
from support.own_postgres import OwnServer, own_postgres
from support.workflow_env import WorkflowTestEnv, workflow_test_env

OUTAGE_SECONDS = 30.0
"""Seconds."""
ORDERS = 40


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    with own_postgres(request.getfixturevalue("backing").folder) as made:
        yield made


@pytest.fixture
async def workers(server: OwnServer, temporal_client: Client, task_queues: Any) -> AsyncIterator[WorkflowTestEnv]:
    await migrate(server.url)
    async with workflow_test_env(temporal_client, server.url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.mark.timeout(300)
async def test_orders_at_every_step_wait_for_postgres_and_end_shipped(
    workers: WorkflowTestEnv, server: OwnServer
) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.2)

    for script in (workers.provider.charging, workers.carrier.booking):
        script.always = slowly
    # As in the product, an attempt lasts longer than the store's own timeout of 2 s.
    step = StepPolicy(attempt_timeout="5s", initial_interval="10ms")
    names = ("receive", "validation", "record", "charge", "prepare_package", "dispatch_carrier")
    policy = quick_policy(workers.settings, **dict.fromkeys(names, step))
    handles = []
    for number in range(ORDERS):
        order = workers.order(f"outage-{number}", review=AUTO, policy=policy)
        handles.append(await workers.start(order))
        await asyncio.sleep(0.03)  # so that they are at different steps
        if number == ORDERS * 2 // 3:
            found = await workers.reads.orders([f"outage-{one}" for one in range(number)])
            steps_at_outage = Counter(order.status.step for order in found.values())
            server.kill()
    assert len(steps_at_outage) >= 3, f"too few different steps: {steps_at_outage}"
    await asyncio.sleep(OUTAGE_SECONDS)
    server.start()

    ends = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
    failed = [f"{end.cause}" for end in ends if isinstance(end, WorkflowFailureError)]
    assert not failed, failed
    statuses = [end for end in ends if isinstance(end, OrderStatus)]
    assert len(statuses) == ORDERS
    print(
        f"\nat the outage {dict(steps_at_outage)}, {ORDERS} orders shipped after {OUTAGE_SECONDS:g} s without Postgres"
    )
    for status in statuses:
        assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
        assert status.retries == {}, "the outage used an attempt"
        recorded = (await workers.recorded(status.order_id)).status
        assert (recorded.step, recorded.retries) == (Step.SHIPPED, {})
        assert workers.provider.balance(status.payment.id) == 1
        assert len(workers.carrier.parcels[f"ship-{status.order_id}"]) == 1


@pytest.mark.timeout(300)
async def test_payment_provider_unavailable_for_a_minute_leaves_no_pending_refund(workers: WorkflowTestEnv) -> None:
    """The outage uses all attempts: the order fails, and its payment is voided."""
    back = asyncio.Event()

    async def unavailable() -> None:
        if not back.is_set():
            raise ConnectionError("the provider is unavailable")

    workers.provider.charging.always = workers.provider.voiding.always = unavailable
    handles = [await workers.start(workers.order(f"minute-{n}", review=AUTO)) for n in range(10)]
    await asyncio.sleep(60)
    back.set()
    for number, handle in enumerate(handles):
        with pytest.raises(Exception, match="Workflow execution failed"):
            await handle.result()
        status = (await workers.recorded(f"minute-{number}")).status
        assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.VOIDED)
        assert workers.provider.balance(status.payment.id) == 0
    assert workers.provider.voided == {f"pay-minute-{n}" for n in range(10)}
