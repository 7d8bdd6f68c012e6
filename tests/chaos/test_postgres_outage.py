"""Postgres killed for half a minute while orders stand at every step: each ends right, with its attempts left."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from fleet import Fleet, fleet, quick_policy

from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.store.migrate import migrate
from support.own_postgres import OwnServer, own_postgres

OUTAGE_SECONDS = 30.0
"""Seconds."""
ORDERS = 40


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    with own_postgres(request.getfixturevalue("backing").folder) as made:
        yield made


@pytest.fixture
async def shop(server: OwnServer, temporal_client: Client, task_queues: Any) -> AsyncIterator[Fleet]:
    await migrate(server.url)
    async with fleet(temporal_client, server.url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.mark.timeout(300)
async def test_an_outage_in_the_middle_of_every_step_is_waited_out(shop: Fleet, server: OwnServer) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.2)

    for script in (shop.provider.charging, shop.carrier.booking):
        script.always = slowly
    # As in the product, an attempt lasts longer than the store's own bound of 2 s.
    step = StepPolicy(attempt_timeout="5s", initial_interval="10ms")
    names = ("receive", "validation", "record", "charge", "prepare_package", "dispatch_carrier")
    policy = quick_policy(shop.settings, **dict.fromkeys(names, step))
    handles = []
    for number in range(ORDERS):
        order = shop.order(f"away-{number}", review=Review(mode=ReviewMode.AUTO), policy=policy)
        handles.append(await shop.start(order))
        await asyncio.sleep(0.03)  # so that they stand at different steps
        if number == ORDERS * 2 // 3:
            found = await shop.reads.orders([f"away-{one}" for one in range(number)])
            stood = Counter(order.status.step for order in found.values())
            server.kill()
    assert len(stood) >= 3, f"too few steps were under way: {stood}"
    await asyncio.sleep(OUTAGE_SECONDS)
    server.start()

    ends = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
    failed = [f"{end.cause}" for end in ends if isinstance(end, WorkflowFailureError)]
    assert not failed, failed
    statuses = [end for end in ends if isinstance(end, OrderStatus)]
    assert len(statuses) == ORDERS
    print(f"\nat the outage {dict(stood)}, {ORDERS} orders, all shipped after {OUTAGE_SECONDS:g} s without Postgres")
    for status in statuses:
        assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
        assert status.retries == {}, "an attempt was used up by the outage"
        recorded = (await shop.recorded(status.order_id)).status
        assert (recorded.step, recorded.retries) == (Step.SHIPPED, {})
        assert shop.provider.balance(status.payment.id) == 1
        assert len(shop.carrier.parcels[f"ship-{status.order_id}"]) == 1


@pytest.mark.timeout(300)
async def test_a_provider_that_is_away_for_a_minute_leaves_nothing_owed(shop: Fleet) -> None:
    """It uses up the attempts, as it is meant to: the charge is made impossible, and given back if it was made."""
    back = asyncio.Event()

    async def away() -> None:
        if not back.is_set():
            raise ConnectionError("the provider is away")

    shop.provider.charging.always = shop.provider.voiding.always = away
    handles = [await shop.start(shop.order(f"minute-{n}", review=Review(mode=ReviewMode.AUTO))) for n in range(10)]
    await asyncio.sleep(60)
    back.set()
    for number, handle in enumerate(handles):
        with pytest.raises(Exception, match="Workflow execution failed"):
            await handle.result()
        status = (await shop.recorded(f"minute-{number}")).status
        assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.VOIDED)
        assert shop.provider.balance(status.payment.id) == 0
    assert shop.provider.voided == {f"pay-minute-{n}" for n in range(10)}
