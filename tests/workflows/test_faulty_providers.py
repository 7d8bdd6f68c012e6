"""Both workers, and a payment provider and a carrier behind HTTP that misbehave half of the time, seeded.

Their ledgers are compared with the database: each key moved money once, one parcel per order, and every order that was
not shipped is refunded. Every second order is captured on shipment.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.order import CaptureMode, Item, OrderInput, PaymentTerms
from orderfleet.domain.policy import OutagePolicy, StepPolicy
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.providers.payments.simulated import PaymentLedger
from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS
from orderfleet.services.errors import OrderChangeRejected, OrderNotFound, TemporalUnavailable
from orderfleet.services.workflow_client import Change
from orderfleet.settings import Settings
from provider_server.faults import AFTER, BEFORE
from provider_server.process import ProviderServer, provider_server
from support.factories import AUTO, quick_policy
from support.ledgers import Ledgers, parcel_errors
from support.payment_agreement import disagreements, payment_sources
from support.polling import eventually
from support.workflow_env import WorkflowTestEnv, workflow_test_env

SEED = int(os.environ.get("PROVIDER_SEED", "3"))
ORDERS = int(os.environ.get("PROVIDER_ORDERS", "30"))
CONCURRENT_ORDERS = 10
"""Orders at the same time, so that it is the faults that make calls late and not the machine."""
CALL = "600ms"
STEP = StepPolicy(attempt_timeout="3s", initial_interval="10ms", maximum_interval="50ms")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    options = ("--rate", "0.5", "--seed", str(SEED), "--late", "0.9", "--held-back", "0.5")
    with provider_server(tmp_path, *options) as made:
        yield made


@pytest.fixture
async def served(
    temporal_client: Client, postgres_url: str, task_queues: Any, server: ProviderServer
) -> AsyncIterator[WorkflowTestEnv]:
    settings = Settings(
        payment_provider="http",
        payment_url=server.url,
        payment_timeout=CALL,
        carrier="http",
        carrier_url=server.url,
        carrier_timeout=CALL,
    )
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(PAYMENT_PROVIDERS.open(settings))
        parcels = await stack.enter_async_context(CARRIERS.open(settings))
        made = workflow_test_env(
            *(temporal_client, postgres_url, task_queues.orders, task_queues.shipping),
            provider=provider,
            carrier=parcels,
        )
        yield await stack.enter_async_context(made)


def an_order(env: WorkflowTestEnv, number: int) -> OrderInput:
    order_id = f"faulty-{SEED}-{number}"
    sku = "refuse-dispatch" if number % 5 == 0 else "widget"
    return env.order(
        order_id,
        items=(Item(sku=sku, qty=number, price="1.10"),),
        payment_id=f"refuse-{order_id}" if number % 7 == 0 else f"pay-{order_id}",
        review=AUTO,
        payment=PaymentTerms(capture=CaptureMode.ON_SHIPMENT if number % 2 else CaptureMode.IMMEDIATE),
        policy=quick_policy(
            env.settings,
            charge=STEP,
            dispatch_carrier=STEP,
            refund=STEP,
            capture=STEP,
            capture_retries=OutagePolicy(first="100ms", longest="500ms"),
        ),
    )


async def one(env: WorkflowTestEnv, number: int, dice: random.Random) -> OrderStatus:
    """Start an order, cancel some of them at a random time, and return the status once no refund is pending."""
    order = an_order(env, number)
    await env.start(order)
    if number % 3 == 0:
        await asyncio.sleep(dice.random() * 1.5)
        with suppress(OrderChangeRejected, OrderNotFound, TemporalUnavailable):
            await env.client.change(order.order_id, Change.cancel("changed my mind"))
    found = await eventually(
        lambda: recorded(env, order.order_id),
        lambda order: order is not None and order.status.settled,
        seconds=120,
    )
    assert found is not None
    return found.status


async def recorded(env: WorkflowTestEnv, order_id: str) -> RecordedOrder | None:
    """The order, unless a busy machine's Postgres takes too long."""
    with suppress(StoreUnavailable):
        return await env.reads.order(order_id)
    return None


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_faulty_providers_move_money_once_and_ship_once(served: WorkflowTestEnv, server: ProviderServer) -> None:
    dice = random.Random(SEED)
    places = asyncio.Semaphore(CONCURRENT_ORDERS)

    async def in_turn(number: int) -> OrderStatus:
        async with places:
            return await one(served, number, dice)

    ended = await asyncio.gather(*(in_turn(number) for number in range(1, ORDERS + 1)))

    ledger, books = PaymentLedger(server.ledger), Ledgers(server.ledger)
    money, parcels = books.money(), books.parcels()
    broken = {}
    for status in ended:
        sources = await payment_sources(served.database, ledger, status.order_id)
        if problems := [*disagreements(sources), *parcel_errors(status.order_id, status, parcels)]:
            broken[status.order_id] = problems
    calls = server.calls()
    met = Counter(call["fault"] for call in calls)
    print(f"\nseed {SEED}: {len(calls)} calls, {Counter(f'{s.step}, {s.payment.status}' for s in ended)}, {met}")
    assert not broken, broken
    assert max(money.values()) == max(parcels.values()) == 1
    assert len(set(met) & {*BEFORE, *AFTER}) > 10, "most faults were met; each has its own test beside the adapters"
    assert Counter(status.step for status in ended)[Step.SHIPPED] >= ORDERS // 6
    refused = [status for number, status in enumerate(ended, 1) if number % 7 == 0]
    moved = {"charge", "authorize", "capture"}
    assert not any(kind in moved and payment.startswith("refuse-") for kind, payment in money), refused
    asked: dict[str, set[str]] = {}
    for call in calls:
        if "amount" in call["body"]:
            asked.setdefault(call["body"]["payment_id"], set()).add(call["body"]["amount"])
    assert all(len(amounts) == 1 for amounts in asked.values()), "the same money in every call"


@pytest.fixture
def faultless_server(tmp_path: Path) -> Iterator[ProviderServer]:
    """Without faults but those that the test scripts."""
    with provider_server(tmp_path) as made:
        yield made


@pytest.mark.slow
async def test_charge_that_arrives_after_a_refusal_takes_no_money(
    temporal_client: Client, postgres_url: str, task_queues: Any, faultless_server: ProviderServer
) -> None:
    """The first request is answered too late, the second is refused, then the provider works on the first."""
    settings = Settings(payment_provider="http", payment_url=faultless_server.url, payment_timeout="500ms")
    refused = {"payment_id": "pay-late-1", "detail": "card declined"}
    faultless_server.script(
        "/charges", {"fault": "late_work", "seconds": 5}, {"fault": "answer", "status": 402, "body": refused}
    )
    queues = (task_queues.orders, task_queues.shipping)
    async with (
        PAYMENT_PROVIDERS.open(settings) as provider,
        workflow_test_env(temporal_client, postgres_url, *queues, provider=provider) as workflow_env,
    ):
        order = workflow_env.order("late-1", review=AUTO)
        handle = await workflow_env.start(order)
        with pytest.raises(WorkflowFailureError, match="Workflow execution failed") as failure:
            await handle.result()
        assert "card declined" in str(failure.value.cause)

        async def statuses() -> list[int | None]:
            calls = faultless_server.calls(payment_id="pay-late-1")
            return [call.get("status") for call in calls if call["method"] == "POST"]

        assert await eventually(statuses, lambda found: None not in found) == [410, 402, 200]
        status = (await workflow_env.recorded("late-1")).status
    assert (status.step, status.payment.status) == (Step.FAILED, PaymentStatus.VOIDED)
    assert Ledgers(faultless_server.ledger).money() == {("void", "pay-late-1"): 1}
