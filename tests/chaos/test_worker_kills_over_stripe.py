"""Order workers are killed when Stripe has acted and they have not recorded it, also a day before the retry.

Stripe's books decide: each order has one PaymentIntent at most that took money, and ledger and orders say the same.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from chaos.kills import SEED, ForkServer, Run, fork_server, keep_ordering
from orderfleet.domain.order import CaptureMode, OrderInput, PaymentTerms
from orderfleet.services.workflow_client import OrderClient
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from stripe_server import books
from stripe_server.process import StripeProcess, stripe_process
from stripe_server.server import KEY
from support.ledgers import Ledgers, parcel_errors
from support.polling import eventually
from support.stripe_shop import disagreements, documented_settings

KILLS = int(os.environ.get("CHAOS_KILLS_OVER_STRIPE", "20"))
OPERATIONS = ("create", "confirm", "capture", "refund", "cancel")
CUSTOMER_SECONDS = 1
"""How long a customer takes to authenticate."""


class StripeRun(Run):
    """Orders of both capture modes; the customer of every fourth has to authenticate."""

    def order(self, number: int) -> OrderInput:
        order = super().order(number)
        capture = CaptureMode.ON_SHIPMENT if number % 2 else CaptureMode.IMMEDIATE
        method = books.AUTHENTICATION if number % 4 in {0, 3} else books.CARD
        waits = dict.fromkeys(("capture_retries", "payment_look_ups"), order.policy.outage)
        policy = order.policy.model_copy(update=waits)
        return order.model_copy(update={"payment": PaymentTerms(method=method, capture=capture), "policy": policy})


@pytest.fixture
def stripe() -> Iterator[StripeProcess]:
    with stripe_process() as made:
        yield made


@pytest.fixture
def workers(role_environment: dict[str, str], stripe: StripeProcess, tmp_path: Path) -> Iterator[ForkServer]:
    (tmp_path / "key").write_text(KEY)
    settings = {
        **documented_settings(),
        "ORDERFLEET_PAYMENT_URL": stripe.url,
        "ORDERFLEET_PAYMENT_TOKEN_FILE": str(tmp_path / "key"),
        "ORDERFLEET_PAYMENT_TIMEOUT": "1s",
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "carrier.db"),
    }
    with fork_server(tmp_path, **role_environment, **settings) as made:
        yield made


@pytest.mark.timeout(400)
async def test_killed_workers_take_money_once_also_when_stripe_has_forgotten_the_keys(
    workers: ForkServer,
    stripe: StripeProcess,
    temporal_client: Client,
    postgres_url: str,
    task_queues: Any,
    tmp_path: Path,
) -> None:
    async with Database(postgres_url, pool_size=4, timeout=timedelta(seconds=10)) as database:
        run = StripeRun(
            client=OrderClient(temporal_client, task_queue=task_queues.orders),
            temporal=temporal_client,
            reads=OrderReads(database),
            ledgers=Ledgers(tmp_path / "carrier.db"),
            queues=task_queues,
            wanted=KILLS,
            name="kill-stripe",
            # Kills use attempts; most orders should still be charged in the end.
            charge_attempts=6,
        )
        async with asyncio.TaskGroup() as group:
            customers = group.create_task(authenticate(stripe))
            async with asyncio.TaskGroup() as orders:
                orders.create_task(keep_ordering(run))
                orders.create_task(kill_when_stripe_has_acted(run, workers, stripe))
            customers.cancel()
        parcels = run.ledgers.parcels()
        for order_id in run.started:
            assert parcel_errors(order_id, await run.until_ended(order_id), parcels) == []
    assert await disagreements(stripe, postgres_url) == {}
    statuses = [each["status"] for each in stripe.call("books.intents").values()]
    print(f"seed {SEED}: {dict(run.kills)} over {len(run.started)} orders, {len(statuses)} PaymentIntents")
    assert {"succeeded", "canceled"} <= set(statuses)


async def kill_when_stripe_has_acted(run: Run, workers: ForkServer, stripe: StripeProcess) -> None:
    """Kill the order workers while one of them waits for an answer that it will not get."""
    for number in range(run.wanted):
        operation = OPERATIONS[number % len(OPERATIONS)]
        await asyncio.to_thread(stripe.call, "fail_next", operation, "hang")
        wanted = run.kills[operation] + 1
        await eventually(
            lambda: asyncio.to_thread(stripe.call, "hanging"),
            lambda hanging, operation=operation, wanted=wanted: hanging.count(operation) == wanted,
        )
        workers.kill("orders")
        run.kills[operation] += 1
        if number % 3 == 0:
            await asyncio.to_thread(stripe.call, "forget_keys")
    run.stop.set()


async def authenticate(stripe: StripeProcess) -> None:
    """Answer for the customers: every fifth gives up."""
    seen: dict[str, float] = {}
    clock = asyncio.get_running_loop().time
    while True:
        for intent in (await asyncio.to_thread(stripe.call, "books.intents")).values():
            if intent["status"] != "requires_action":
                continue
            if clock() - seen.setdefault(intent["id"], clock()) > CUSTOMER_SECONDS:
                await asyncio.to_thread(stripe.call, "books.finish", intent["id"], declined=len(seen) % 5 == 0)
        await asyncio.sleep(0.2)
