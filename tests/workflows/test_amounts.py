"""What an order costs: rounding, adjustments, a total of zero, and the shop's own number of the order."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from orderfleet.domain.errors import CarrierRefused, ProviderUnavailable
from orderfleet.domain.money import Adjustment
from orderfleet.domain.order import Item
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.status import PaymentStatus, Step
from support.factories import AUTO
from support.scripted_providers import ScriptedPayments, fails
from support.workflow_env import WorkflowTestEnv, workflow_test_env

FREE = (Item(sku="widget", qty=2, price="0"),)


class KeepsAmounts(ScriptedPayments):
    """A payment provider that keeps what it was asked to charge."""

    asked: dict[str, str]

    async def charge(self, payment: PaymentIntent) -> Any:
        self.asked = {**getattr(self, "asked", {}), payment.order_id: f"{payment.decimal_amount} {payment.currency}"}
        return await super().charge(payment)


async def failed(env: WorkflowTestEnv, order_id: str) -> str:
    with pytest.raises(WorkflowFailureError) as failure:
        await env.handle(order_id).result()
    return str(failure.value.cause)


async def test_provider_store_and_events_have_the_rounded_total(
    time_skipping_env: WorkflowEnvironment, postgres_url: str
) -> None:
    adjusted = {
        "items": (Item(id="tea", sku="tea", qty=3, price="0.3333"),),
        "adjustments": (
            Adjustment(kind="shipping", amount="4.90"),
            Adjustment(kind="discount", amount="-0.10", line="tea"),
        ),
        "reference": "#1001",
    }
    orders = {
        "1.00 USD": {"items": (Item(sku="tea", qty=3, price="0.3333"),)},
        "101 JPY": {"items": (Item(sku="tea", qty=1, price="100.5"),), "currency": "JPY"},
        "1.000 KWD": {"items": (Item(sku="tea", qty=1, price="1"),), "currency": "KWD"},
        "5.80 USD": adjusted,
    }
    provider = KeepsAmounts()
    queues = ("orders-tq", "shipping-tq")
    async with workflow_test_env(time_skipping_env.client, postgres_url, *queues, provider=provider) as env:
        for number, (expected, given) in enumerate(orders.items()):
            order_id = f"total-{number}"
            status = await (await env.start(env.order(order_id, review=AUTO, **given))).result()
            recorded = (await env.recorded(order_id)).status
            amounts = [event.detail["amount"] for event in await env.events(order_id) if "amount" in event.detail]
            assert provider.asked[order_id] == expected
            assert [f"{each.payment.amount} {each.payment.currency}" for each in (status, recorded)] == [expected] * 2
            assert [f"{each} {status.payment.currency}" for each in amounts] == [expected] * 3
            assert (status.reference, recorded.reference) == (given.get("reference", ""),) * 2


async def test_total_of_zero_calls_no_payment_provider(skipping_env: WorkflowTestEnv) -> None:
    down = fails(ProviderUnavailable("must not be called"))
    provider = skipping_env.provider
    provider.charging.always = provider.refunding.always = provider.voiding.always = down
    shipped = await (await skipping_env.start(skipping_env.order("free-1", review=AUTO, items=FREE))).result()
    assert (shipped.step, shipped.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)

    skipping_env.carrier.booking.always = fails(CarrierRefused("address unknown"))
    await skipping_env.start(skipping_env.order("free-2", review=AUTO, items=FREE))
    assert "address unknown" in await failed(skipping_env, "free-2")
    assert (await skipping_env.recorded("free-2")).status.payment.status is PaymentStatus.REFUNDED


async def test_void_of_a_total_of_zero_calls_no_payment_provider(
    time_skipping_env: WorkflowEnvironment, postgres_url: str
) -> None:
    queues, faults = ("orders-tq", "shipping-tq"), "charge:error=1"
    async with workflow_test_env(time_skipping_env.client, postgres_url, *queues, faults=faults) as env:
        await env.start(env.order("free-3", review=AUTO, items=FREE))
        await failed(env, "free-3")
        assert (await env.recorded("free-3")).status.payment.status is PaymentStatus.VOIDED
        assert not env.provider.voided


async def test_order_with_the_reference_of_another_fails_where_it_is_unique(
    temporal_client: Client, postgres_url: str, task_queues
) -> None:
    queues = (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues, unique_reference=True) as env:
        first = await (await env.start(env.order("ref-1", review=AUTO, reference="#1001"))).result()
        assert first.step is Step.SHIPPED
        await env.start(env.order("ref-2", review=AUTO, reference="#1001"))
        assert "reference '#1001' belongs to order 'ref-1'; choose another one" in await failed(env, "ref-2")
        status = (await env.recorded("ref-2")).status
        assert (status.step, status.reference, status.payment.status) == (Step.FAILED, "#1001", None)
        assert await env.kinds("ref-2") == ["received", "failed"]
        assert "ref-2" not in str(env.provider.charges)


@pytest.mark.parametrize(
    ("order_id", "given", "problem"),
    [
        (
            "amount-1",
            {"currency": "XAU"},
            "currency: 'XAU' is unknown or has no minor unit; use an ISO 4217 code such as USD",
        ),
        (
            "amount-2",
            {"adjustments": [{"kind": "tax", "amount": "0.125"}]},
            "adjustments[0].amount: has 3 decimals, USD has 2; round it",
        ),
        (
            "amount-4",
            {"items": [{"id": "shipping", "sku": "a", "qty": 1, "price": "1"}]},
            "items[0].id: 'shipping' is the line of the shipping costs; choose another id",
        ),
        ("amount-3", {"reference": "x" * 256}, "reference: has more than 255 characters; write less"),
    ],
)
async def test_raw_start_with_invalid_money_fails_with_the_field(
    workflow_env: WorkflowTestEnv, order_id: str, given: dict[str, Any], problem: str
) -> None:
    order = {**workflow_env.order(order_id, review=AUTO).model_dump(mode="json"), **given}
    await workflow_env.temporal.start_workflow(
        "OrderWorkflow", order, id=f"order-{order_id}", task_queue=workflow_env.settings.orders_task_queue
    )
    assert problem in await failed(workflow_env, order_id)
    assert (await workflow_env.recorded(order_id)).status.step is Step.FAILED
    assert not workflow_env.provider.charges
