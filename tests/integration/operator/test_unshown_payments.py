"""A payment that changes after the end of its order shows in the ended Order, and nothing else changes there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from orderfleet.domain.ledger import EntryKind, EntrySource, PaymentEntry
from orderfleet.services.orders import OrderService
from orderfleet.store.writes import OrderWrites
from support.factories import order_manifest
from support.operator_env import ended, step
from support.polling import eventually
from support.scripted_providers import Gate
from support.workflow_env import WorkflowTestEnv

AUTO = {"mode": "auto"}


async def charge_back(workers: WorkflowTestEnv, order_id: str, amount: int) -> None:
    """Record what a webhook or a reconciliation reports."""
    entry = PaymentEntry(
        kind=EntryKind.CHARGED_BACK,
        key="dp_1",
        amount=amount,
        currency="USD",
        source=EntrySource.WEBHOOK,
        at=datetime.now(UTC),
    )
    await OrderWrites(workers.database).record_fact(f"pay-{order_id}", entry)


def shows(status: str, refunded: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an Order shows this payment."""

    def check(order: dict[str, Any]) -> bool:
        payment = order["status"]["payment"]
        return (payment["status"], payment["refunded"]) == (status, refunded)

    return check


def besides_payment(order: dict[str, Any]) -> dict[str, Any]:
    """What a later change of the payment must leave as it is."""
    metadata = {name: order["metadata"].get(name) for name in ("labels", "finalizers", "generation", "uid")}
    status = {name: value for name, value in order["status"].items() if name not in {"payment", "updatedAt"}}
    return {**metadata, **status}


async def unshown(workers: WorkflowTestEnv) -> list[str]:
    """Ids of the orders whose payment is to be shown."""
    return [row["order_id"] for row in await workers.database.fetch("select order_id from unshown_payments")]


@pytest.fixture
async def ended_order(operator_env, workers) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Returns a function that applies an Order and returns it once it has ended; an operator must run."""

    async def end(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        manifest = order_manifest(name, review=AUTO, **spec)
        manifest["metadata"]["labels"] = labels or {}
        await operator_env.apply(manifest)
        return await operator_env.until(name, ended)

    return end


async def test_refunds_after_the_end_show_within_seconds_and_change_nothing_else(operator_env, workers, ended_order):
    name = operator_env.name()
    async with operator_env.operator() as operator:
        before = await ended_order(name)
        await workers.refund(name, "4.50")
        after = await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
        assert besides_payment(after) == besides_payment(before)
        assert after["status"]["updatedAt"] > before["status"]["updatedAt"]
        recorded = (await workers.recorded(name)).status.payment
        assert {each: after["status"]["payment"][each] for each in ("authorized", "captured", "refunded")} == {
            "authorized": str(recorded.authorized),
            "captured": str(recorded.captured),
            "refunded": "4.50",
        }
        await workers.refund(name, "15.48", "r2")
        await operator_env.until(name, shows("REFUNDED", "19.98"), seconds=10)
        assert (await operator_env.kubectl("get", "ofo", name, "--no-headers")).split()[:3] == [
            name,
            "shipped",
            "REFUNDED",
        ]
        assert "Refunded:    19.98" in await operator_env.kubectl("describe", "ofo", name)
        await eventually(lambda: unshown(workers), lambda found: not found)
        assert not len(operator.cache)
    assert await operator_env.reasons(name) == await operator_env.reasons(name)
    assert (await operator_env.get(name))["metadata"]["generation"] == before["metadata"]["generation"]


async def test_refund_of_a_running_order_shows_the_same_amounts_everywhere(operator_env, workers):
    name = operator_env.name()
    service = OrderService(workers.client, workers.reads)
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review=AUTO, delivery={"confirm": True}))
        await operator_env.until(name, lambda order: step(order) == "shipped")
        await workers.refund(name, "4.50")
        shown = await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
        live = await eventually(lambda: service.live(name), lambda found: found.payment.refunded, 10)
    recorded = await service.recorded(name)
    assert (live.source, recorded.source) == ("workflow", "database")
    assert live.payment == recorded.payment
    in_kubernetes = shown["status"]["payment"]
    assert in_kubernetes == live.payment.model_dump(mode="json")
    assert not shown["status"].get("ended")


async def test_charge_back_after_the_end_shows(operator_env, workers, ended_order):
    name = operator_env.name()
    async with operator_env.operator():
        await ended_order(name)
        await charge_back(workers, name, 1998)
        await operator_env.until(name, shows("REFUNDED", "0.00"), seconds=10)


async def test_refund_while_no_operator_runs_shows_after_its_start(operator_env, workers, ended_order):
    names = [operator_env.name() for _ in range(3)]
    async with operator_env.operator():
        for name in names:
            await ended_order(name)
    refunded, _, untouched = names
    before = [operator_env.patches(name) for name in names]
    await workers.refund(refunded, "4.50")
    await eventually(lambda: workers.recorded(refunded), lambda order: order.status.payment.refunded)
    async with operator_env.operator() as operator:
        await operator_env.until(refunded, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
        await eventually(lambda: unshown(workers), lambda found: not found)
        # No other ended Order was read or written.
        assert not len(operator.cache)
    assert operator_env.patches(refunded)["status"] == before[0]["status"] + 1
    assert operator_env.patches(untouched) == before[2]
    async with operator_env.operator():
        pass
    assert operator_env.patches(refunded)["status"] == before[0]["status"] + 1


async def test_pending_refund_shows_until_it_is_made(operator_env, workers, ended_order):
    name, gate = operator_env.name(), Gate()
    async with operator_env.operator():
        before = await ended_order(name)
        workers.provider.refunding.before.append(gate)
        await workers.refund(name, "4.50")
        pending = await operator_env.until(name, shows("REFUNDING", "0.00"), seconds=10)
        assert besides_payment(pending) == besides_payment(before)
    gate.opened.set()
    async with operator_env.operator():
        done = await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
    assert besides_payment(done) == besides_payment(before)


async def test_deleted_order_is_not_created_and_the_operator_continues(operator_env, workers, ended_order):
    gone, other = operator_env.name(), operator_env.name()
    async with operator_env.operator() as operator:
        await ended_order(gone)
        await ended_order(other)
        await operator_env.kubectl("delete", "ofo", gone)
        await workers.refund(gone, "4.50")
        await workers.refund(other, "4.50")
        await operator_env.until(other, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
        await eventually(lambda: not len(operator.queue))
        assert operator.queue.failures((operator_env.cluster.namespace, gone)) == 0
    assert await operator_env.get(gone) is None
    # Another cluster may have the Order; it stays listed for 7 days.
    await eventually(lambda: unshown(workers), lambda found: found == [gone])


async def test_later_order_of_the_name_is_not_touched(operator_env, workers, ended_order):
    name = operator_env.name()
    async with operator_env.operator():
        await ended_order(name)
        await operator_env.kubectl("delete", "ofo", name)
        # The order id belongs to the order of before, which has other items.
        await operator_env.apply(order_manifest(name, items=[{"sku": "other", "qty": 1, "price": "1.00"}]))
        before = await operator_env.until(name, lambda order: order.get("status", {}).get("conditions"))
        assert "payment" not in before["status"]
        await workers.refund(name, "4.50")
        await eventually(lambda: workers.recorded(name), lambda order: order.status.payment.refunded)
        other = operator_env.name()
        await ended_order(other)
        await workers.refund(other, "4.50")
        await operator_env.until(other, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
    after = await operator_env.get(name)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["status"] == before["status"]


async def test_order_applied_again_after_its_end_shows_later_refunds(operator_env, workers, ended_order):
    name = operator_env.name()
    async with operator_env.operator():
        first = await ended_order(name)
        await operator_env.kubectl("delete", "ofo", name)
        adopted = await ended_order(name)
        assert adopted["metadata"]["uid"] != first["metadata"]["uid"]
        await workers.refund(name, "4.50")
        await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)


async def test_refund_shows_by_the_operator_of_the_shard_only(operator_env, workers, ended_order):
    name = operator_env.name()
    a, rest = "shard in (a)", "shard notin (a)"
    async with operator_env.operator(operator_selector=a), operator_env.operator(operator_selector=rest):
        await ended_order(name, {"shard": "a"})
    before = operator_env.patches(name)["status"]
    async with operator_env.operator(operator_selector=rest) as other:
        await workers.refund(name, "4.50")
        await eventually(lambda: workers.recorded(name), lambda order: order.status.payment.refunded)
        await eventually(lambda: not len(other.queue))
        assert await unshown(workers) == [name]
        async with operator_env.operator(operator_selector=a):
            await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
    assert operator_env.patches(name)["status"] == before + 1


async def test_order_that_another_client_changes_meanwhile_keeps_the_change(operator_env, workers, ended_order):
    name = operator_env.name()
    async with operator_env.operator():
        await ended_order(name)
    await workers.refund(name, "4.50")
    await eventually(lambda: workers.recorded(name), lambda order: order.status.payment.refunded)
    await operator_env.kubectl("annotate", "ofo", name, "note=kept")
    async with operator_env.operator():
        done = await operator_env.until(name, shows("PARTIALLY_REFUNDED", "4.50"), seconds=10)
    assert done["metadata"]["annotations"]["note"] == "kept"


async def test_orders_without_an_order_in_kubernetes_are_not_listed(workers, postgres_url):
    name = "unshown-without-owner"
    await (await workers.start(workers.order(name, review={"mode": "auto"}))).result()
    await workers.refund(name, "1.00")
    await eventually(lambda: workers.recorded(name), lambda order: order.status.payment.refunded)
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("select count(*) from unshown_payments") == 0
    finally:
        await connection.close()
