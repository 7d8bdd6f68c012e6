"""Erasing a customer's personal data and pruning old orders: payments and ids stay."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.cli.errors import Exit
from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.money import Adjustment
from orderfleet.domain.order import Address, Customer, Review, ReviewMode
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.erasure import KEPT_DETAIL_KEYS, Erased, NotTheOwner, erase, prunable, prune
from orderfleet.store.migrate import grant_runtime_role as grant
from support.factories import AUTO
from support.own_postgres import as_role
from support.sample_rows import force_payment_status
from support.scripted_providers import fails
from support.workflow_env import WorkflowTestEnv, workflow_test_env

MARK = "Zaphod"
EMAIL = f"{MARK}@two.example"
ADDRESS = Address(**{name: f"{MARK} {name}" for name in Address.model_fields if name != "zip"}, zip="Z5")


@pytest.fixture
async def workflow_env(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[WorkflowTestEnv]:
    async with workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as running:
        yield running


async def start_order(workflow_env: WorkflowTestEnv, **changes: Any) -> str:
    order_id = f"gone-{uuid.uuid4().hex[:8]}"
    customer = Customer(name=f"{MARK} One", email=EMAIL)
    fee = Adjustment(kind="fee", amount="1", description=f"gift card for {MARK}")
    values = {"customer": customer, "address": ADDRESS, "adjustments": (fee,), "review": AUTO, **changes}
    await workflow_env.start(workflow_env.order(order_id, **values))
    return order_id


async def ship_order(workflow_env: WorkflowTestEnv, **changes: Any) -> str:
    order_id = await start_order(workflow_env, **changes)
    await workflow_env.handle(order_id).result()
    return order_id


async def all_rows(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        tables = ("orders", "payments", "shipments", "events")
        rows = [row for table in tables for row in await connection.fetch(f"select to_jsonb(t)::text from {table} t")]
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows)


async def test_erase_removes_personal_data_and_keeps_events(workflow_env: WorkflowTestEnv, postgres_url: str) -> None:
    first = await ship_order(workflow_env)
    # The carrier's text is in every field that can have it.
    workflow_env.carrier.booking.always = fails(CarrierRefused(f"no delivery to {MARK} Lane 3"))
    refused = await start_order(workflow_env)
    with pytest.raises(WorkflowFailureError):
        await workflow_env.handle(refused).result()
    await workflow_env.until_recorded(refused, lambda status: status.payment.status is PaymentStatus.REFUNDED)
    workflow_env.carrier.booking.always = None
    other = await ship_order(workflow_env, customer=Customer(name=MARK, email="other@else.example"))
    before = {order_id: await workflow_env.events(order_id) for order_id in (first, refused)}
    assert MARK in await all_rows(postgres_url)

    assert await erase(postgres_url, EMAIL.upper()) == Erased((first, refused), ())
    text = await all_rows(postgres_url)
    assert [line for line in text.splitlines() if MARK in line and other not in line] == []
    for order_id, recorded in before.items():
        after = await workflow_env.events(order_id)
        assert [(e.id, e.kind, e.at) for e in after] == [(e.id, e.kind, e.at) for e in recorded]
        kept = [{name: value for name, value in e.detail.items() if name in KEPT_DETAIL_KEYS} for e in recorded]
        assert [{name: e.detail[name] for name in found} for e, found in zip(after, kept, strict=True)] == kept
    status = (await workflow_env.recorded(first)).status
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert status.shipments[0].tracking_number == f"track-ship-{first}"
    assert await erase(postgres_url, EMAIL) == Erased((), ()), "no order has the customer any more"


async def test_erase_keeps_a_running_order_and_returns_it(workflow_env: WorkflowTestEnv, postgres_url: str) -> None:
    running = await start_order(workflow_env, review=Review(mode=ReviewMode.MANUAL))
    await workflow_env.until_recorded(running, lambda status: status.step is Step.MANUAL_REVIEW)
    assert await erase(postgres_url, EMAIL) == Erased((), (running,))
    assert (await workflow_env.recorded(running)).status.address == ADDRESS


async def test_prune_deletes_events_of_old_orders_in_batches_and_keeps_ids(
    workflow_env: WorkflowTestEnv, postgres_url: str
) -> None:
    ended = [await ship_order(workflow_env) for _ in range(3)]
    running = await start_order(workflow_env, review=Review(mode=ReviewMode.MANUAL))
    await workflow_env.until_recorded(running, lambda status: status.step is Step.MANUAL_REVIEW)
    now = datetime.now(UTC) + timedelta(minutes=1)
    assert await prunable(postgres_url, now - timedelta(days=1)) == 0
    assert await prunable(postgres_url, now) == 3

    # Interrupted after the first batch, and called again.
    async with aclosing(prune(postgres_url, now, batch=2)) as batches:
        assert await anext(batches) == 2
    assert await prunable(postgres_url, now) == 1
    assert [count async for count in prune(postgres_url, now, batch=2)] == [1]

    text = await all_rows(postgres_url)
    assert [line for line in text.splitlines() if MARK in line and running not in line] == []
    for order_id in ended:
        assert not await workflow_env.events(order_id)
        status = (await workflow_env.recorded(order_id)).status
        assert (status.step, status.payment.status, status.shipments) == (Step.SHIPPED, PaymentStatus.CHARGED, ())
    assert await workflow_env.events(running), "a running order is not pruned"


@pytest.mark.parametrize(
    ("payment", "step"), [("REFUNDING", "shipped"), ("CHARGED", "canceled"), ("CHARGED", "failed")]
)
async def test_order_with_a_pending_payment_is_neither_pruned_nor_erased(
    workflow_env: WorkflowTestEnv, postgres_url: str, payment: str, step: str
) -> None:
    """A refund is pending from the end of the order, also before it has begun."""
    order_id = await ship_order(workflow_env)
    connection = await asyncpg.connect(postgres_url)
    await force_payment_status(connection, order_id, payment)
    await connection.execute("update orders set step = $2 where order_id = $1", order_id, step)
    await connection.close()
    now = datetime.now(UTC) + timedelta(minutes=1)
    assert await prunable(postgres_url, now) == 0
    assert [count async for count in prune(postgres_url, now)] == []
    assert await erase(postgres_url, EMAIL) == Erased((), (order_id,))
    assert await workflow_env.events(order_id)


async def test_runtime_role_can_neither_erase_nor_prune(postgres_url: str, role: str) -> None:
    await grant(postgres_url, role)
    url = as_role(postgres_url, role)
    with pytest.raises(NotTheOwner, match="log in as the role that migrates"):
        _ = [count async for count in prune(url, datetime.now(UTC))]
    runner = await asyncpg.connect(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runner.execute("set orderfleet.erasing = 'on'; delete from events")
    await runner.close()


async def test_owner_cannot_change_an_event_without_the_erasing_setting(
    workflow_env: WorkflowTestEnv, postgres_url: str
) -> None:
    await ship_order(workflow_env)
    owner = await asyncpg.connect(postgres_url)
    try:
        for statement in ("delete from events", "update events set kind = 'x'", "truncate events"):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await owner.execute(statement)
    finally:
        await owner.close()


@pytest.mark.slow
async def test_erase_and_prune_commands_print_their_results(workflow_env: WorkflowTestEnv, postgres_url: str) -> None:
    ended = await ship_order(workflow_env)
    running = await start_order(workflow_env, review=Review(mode=ReviewMode.MANUAL))
    await workflow_env.until_recorded(running, lambda status: status.step is Step.MANUAL_REVIEW)
    code, output = await command(postgres_url, "erase", EMAIL, "--yes")
    assert (code, f"  {ended}\n" in output) == (Exit.REJECTED, True)
    assert f"1 still run and were skipped: {running}" in output
    assert await command(postgres_url, "prune") == (
        Exit.INVALID,
        "orderfleet: the age is missing; give --older-than DURATION or set ORDERFLEET_PRUNE_AFTER\n",
    )
    assert await command(postgres_url, "prune", "--older-than", "1ms") == (
        Exit.DONE,
        "pruned 1 of 1 orders that ended 1ms ago or earlier\n",
    )


async def command(url: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", *arguments),
        env={**os.environ, "ORDERFLEET_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode()
