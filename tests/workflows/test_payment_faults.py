"""Each call that moves money with each fault: provider, ledger and order agree in the end, and no money moves twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from orderfleet.domain import names
from orderfleet.domain.errors import CarrierRefused, PaymentRefused, ProviderUnavailable
from orderfleet.domain.order import CaptureMode, OrderInput, PaymentTerms
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OutagePolicy, StepPolicy
from orderfleet.domain.refunds import RefundOrder, RefundResult
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.writes import OrderWrites
from support.factories import AUTO, quick_policy
from support.payment_agreement import NOTHING, disagreements, payment_sources
from support.polling import eventually
from support.scripted_providers import Gate, Script, ScriptedPayments, fails
from support.workflow_env import WorkflowTestEnv, workflow_test_env

IMMEDIATE: Final = PaymentTerms()
ON_SHIPMENT: Final = PaymentTerms(capture=CaptureMode.ON_SHIPMENT)
NO_ANSWER: Final = fails(ProviderUnavailable("answer lost"))
PARTIAL: Final = Decimal("5.00")
PARTIAL_REFUND_ID: Final = "r1"

Lead = Callable[[WorkflowTestEnv], None]
End = tuple[Step, PaymentStatus]
SHIPPED: Final = (Step.SHIPPED, PaymentStatus.CHARGED)
NEVER_CHARGED: Final = (Step.FAILED, PaymentStatus.VOIDED)
RETURNED: Final = (Step.FAILED, PaymentStatus.REFUNDED)


def _straight(_: WorkflowTestEnv) -> None:
    """The order makes the call by itself."""


def _refuse_booking(env: WorkflowTestEnv) -> None:
    env.carrier.booking.always = fails(CarrierRefused("no such street"))


def _refuse_capture(env: WorkflowTestEnv) -> None:
    env.provider.capturing.always = fails(PaymentRefused("no funds"))


def _lose_charge(env: WorkflowTestEnv) -> None:
    env.provider.charging.after.append(NO_ANSWER)


@dataclass(frozen=True)
class Call:
    """A call of the provider, and an order that makes it."""

    name: str
    script: Callable[[ScriptedPayments], Script]
    end: End
    terms: PaymentTerms = IMMEDIATE
    lead: Lead = _straight
    given_up: End | None = None
    """End of an order that does not wait for an unavailable provider; None waits."""

    @property
    def refunded(self) -> Decimal:
        """What a client asked to be refunded."""
        return PARTIAL if self.end[1] is PaymentStatus.PARTIALLY_REFUNDED else NOTHING


CALLS: Final = (
    Call("charge", lambda provider: provider.charging, SHIPPED, given_up=NEVER_CHARGED),
    Call("authorize", lambda provider: provider.authorizing, SHIPPED, ON_SHIPMENT, given_up=NEVER_CHARGED),
    Call("capture", lambda provider: provider.capturing, SHIPPED, ON_SHIPMENT),
    Call("refund", lambda provider: provider.refunding, RETURNED, lead=_refuse_booking),
    Call("partial-refund", lambda provider: provider.refunding, (Step.SHIPPED, PaymentStatus.PARTIALLY_REFUNDED)),
    Call(
        "release",
        lambda provider: provider.voiding,
        (Step.CANCELED, PaymentStatus.VOIDED),
        ON_SHIPMENT,
        lead=_refuse_capture,
    ),
    Call("void", lambda provider: provider.voiding, RETURNED, lead=_lose_charge),
)

each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)


def order_of(env: WorkflowTestEnv, call: Call, fault: str, **steps: StepPolicy) -> OrderInput:
    """An order that makes the call. Each step waits up to 2 s for an answer unless `steps` says otherwise."""
    once = {"charge": StepPolicy(attempts=1)} if call.name == "void" else {}
    policy = quick_policy(
        env.settings,
        capture_retries=OutagePolicy(first="100ms", longest="1h"),
        retry_forever_backoff=OutagePolicy(first="50ms", longest="1h"),
        payment_hold=timedelta(days=7) if call.lead is _straight else timedelta(milliseconds=300),
        **(steps | once),
    )
    return env.order(f"{fault}-{call.name}", review=AUTO, payment=call.terms, policy=policy)


async def begin(env: WorkflowTestEnv, call: Call, order: OrderInput) -> None:
    """Start the order; for a refund that a client asks for, also wait until it is shipped and start the refund."""
    call.lead(env)
    handle = await env.start(order)
    if call.refunded:
        await handle.result()
        await start_partial_refund(env, order)


async def start_partial_refund(env: WorkflowTestEnv, order: OrderInput) -> None:
    payment = PaymentIntent(
        payment_id=order.payment_id, order_id=order.order_id, amount=order.amount, currency=order.currency
    )
    refund = RefundOrder(
        order_id=order.order_id,
        payment=payment,
        reason="late",
        policy=order.policy,
        refund_id=PARTIAL_REFUND_ID,
        amount=500,
    )
    await env.temporal.start_workflow(
        names.REFUND_WORKFLOW,
        refund,
        id=names.refund_workflow_id(payment.payment_id, refund_id=PARTIAL_REFUND_ID),
        task_queue=env.settings.orders_task_queue,
        memo=refund.memo(),
        result_type=RefundResult,
    )


async def finish(env: WorkflowTestEnv, call: Call, order: OrderInput) -> None:
    """Wait for the end of the order and of its refund."""
    workflows = [names.order_workflow_id(order.order_id)]
    refund_id = {"refund": names.ORDER_REFUND, "partial-refund": PARTIAL_REFUND_ID}.get(call.name)
    if refund_id is not None:
        workflows.append(names.refund_workflow_id(order.payment_id, refund_id=refund_id))
    for workflow_id in workflows:
        handle = env.temporal.get_workflow_handle(workflow_id)
        await eventually(handle.describe, lambda described: described.close_time is not None)


async def check(env: WorkflowTestEnv, call: Call, order: OrderInput, end: End) -> None:
    """Compare the three sources."""
    sources = await payment_sources(env.database, env.provider.ledger, order.order_id)
    assert disagreements(sources, call.refunded) == []
    assert (sources.status.step, sources.status.payment.status) == end


@each_call
async def test_call_whose_answer_is_lost_moves_money_once(skipping_env: WorkflowTestEnv, call: Call) -> None:
    """A look-up that lags behind does not find it either, so the repeated key decides."""
    skipping_env.provider.search_lags = True
    call.script(skipping_env.provider).after.append(NO_ANSWER)
    order = order_of(skipping_env, call, "lost")
    await begin(skipping_env, call, order)
    await finish(skipping_env, call, order)
    await check(skipping_env, call, order, call.end)


@each_call
async def test_call_whose_answer_is_lost_and_whose_key_is_forgotten_moves_money_once(
    skipping_env: WorkflowTestEnv, call: Call
) -> None:
    async def forget() -> None:
        skipping_env.provider.forget_keys()
        raise ProviderUnavailable("answer lost")

    call.script(skipping_env.provider).after.append(forget)
    order = order_of(skipping_env, call, "forgotten")
    await begin(skipping_env, call, order)
    await finish(skipping_env, call, order)
    await check(skipping_env, call, order, call.end)


@pytest.mark.parametrize("acted", [False, True], ids=["before-it-acts", "after-it-acted"])
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.name not in {"refund", "release"}], ids=lambda call: call.name
)
async def test_call_of_a_provider_that_is_unavailable_for_an_hour_moves_money_once(
    skipping_env: WorkflowTestEnv, time_skipping_env: WorkflowEnvironment, call: Call, acted: bool
) -> None:
    provider, left = skipping_env.provider, asyncio.Event()

    # The clock of the time-skipping server stops when an order ends before its refund or release: `test_money.py` and
    # `test_pending_payments.py` have these cases.
    async def leave() -> None:
        provider.unavailable_until = activity.info().started_time + timedelta(hours=1)
        left.set()
        raise ProviderUnavailable("closed")

    script = call.script(provider)
    (script.after if acted else script.before).append(leave)
    order = order_of(skipping_env, call, f"unavailable-{acted}".lower())
    await begin(skipping_env, call, order)
    async with asyncio.timeout(60):
        await left.wait()
    # An hour, and the longest gap between two attempts.
    await time_skipping_env.sleep(timedelta(hours=3))
    await finish(skipping_env, call, order)
    given_up = RETURNED if acted and call.name == "charge" else call.given_up
    await check(skipping_env, call, order, given_up or call.end)


class CountingWrites(OrderWrites):
    """Counts the answers of the provider that are stored."""

    stored = 0

    async def finish_payment(self, *args: Any, **more: Any) -> Any:
        return self._count(await super().finish_payment(*args, **more))

    async def finish_capture(self, *args: Any, **more: Any) -> Any:
        return self._count(await super().finish_capture(*args, **more))

    async def finish_refund(self, *args: Any, **more: Any) -> Any:
        return self._count(await super().finish_refund(*args, **more))

    def _count(self, result: Any) -> Any:
        CountingWrites.stored += 1
        return result


@pytest.fixture
async def counting_env(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[WorkflowTestEnv]:
    """Both workers on the real server, whose order store counts."""
    queues = (task_queues.orders, task_queues.shipping)
    async with workflow_test_env(temporal_client, postgres_url, *queues, record=CountingWrites) as made:
        yield made


@pytest.mark.parametrize("acted", [False, True], ids=["before-the-provider-acts", "after-it-acted"])
@each_call
async def test_call_that_two_workers_make_at_once_moves_money_once(
    counting_env: WorkflowTestEnv, call: Call, acted: bool
) -> None:
    """The first attempt is blocked, and continues after the second one has done everything."""
    gate, script = Gate(), call.script(counting_env.provider)
    (script.after if acted else script.before).append(gate)
    hasty = StepPolicy(attempt_timeout="500ms", attempts=20, initial_interval="10ms", maximum_interval="20ms")
    order = order_of(counting_env, call, f"twice-{acted}".lower(), charge=hasty, capture=hasty, refund=hasty)
    await begin(counting_env, call, order)
    await gate.reached.wait()
    await finish(counting_env, call, order)
    await check(counting_env, call, order, call.end)

    before = CountingWrites.stored
    gate.opened.set()
    await eventually(lambda: CountingWrites.stored == before + 1)
    await check(counting_env, call, order, call.end)
