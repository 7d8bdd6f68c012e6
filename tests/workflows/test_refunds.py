"""`RefundWorkflow` of a partial refund: retried while the provider is unavailable, ended if the provider refuses."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from orderfleet.domain import names
from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable
from orderfleet.domain.ledger import IntentStatus, RefundRefusal
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OutagePolicy
from orderfleet.domain.refunds import RefundOrder, RefundResult
from orderfleet.store.payment_reads import PaymentReads
from support.factories import AUTO, quick_policy
from support.scripted_providers import fails
from support.workflow_env import WorkflowTestEnv

GROWING = OutagePolicy(first="1s", longest="1h")


@pytest.fixture
async def order_id(skipping_env: WorkflowTestEnv) -> str:
    """A shipped order of 19.98 USD."""
    order_id = f"rf-{uuid.uuid4().hex[:8]}"
    await (await skipping_env.start(skipping_env.order(order_id, review=AUTO))).result()
    return order_id


async def start(
    env: WorkflowTestEnv, order_id: str, *, workflow_id: str = "", **changes: Any
) -> WorkflowHandle[Any, RefundResult]:
    payment = PaymentIntent(payment_id=f"pay-{order_id}", order_id=order_id, amount=1998, currency="USD")
    refund = RefundOrder(
        order_id=order_id,
        payment=payment,
        reason="late",
        policy=quick_policy(env.settings, retry_forever_backoff=GROWING),
        refund_id="r1",
        **changes,
    )
    return await env.temporal.start_workflow(
        names.REFUND_WORKFLOW,
        refund,
        id=workflow_id or names.refund_workflow_id(payment.payment_id, refund_id="r1"),
        task_queue=env.settings.orders_task_queue,
        memo=refund.memo(),
        result_type=RefundResult,
    )


def refunds(env: WorkflowTestEnv, order_id: str) -> list[str]:
    return [str(each.amount) for each in env.provider.ledger.entries(f"pay-{order_id}") if each.kind == "refund"]


async def kinds(env: WorkflowTestEnv, order_id: str) -> list[str]:
    return [each.kind for each in await env.events(order_id) if each.detail.get("refund") == "r1"]


async def test_refund_is_made_after_the_provider_was_away_for_an_hour(skipping_env: WorkflowTestEnv, order_id: str):
    # Three attempts a round, and rounds after 1, 2, 4, … s: 12 rounds take more than an hour.
    skipping_env.provider.refunding.before += [fails(ProviderUnavailable("down"))] * 36
    handle = await start(skipping_env, order_id, amount=500)
    result = await handle.result()
    assert (result.status, result.failure) == (IntentStatus.DONE, "")
    description = await handle.describe()
    assert description.close_time - description.start_time > timedelta(hours=1)
    assert refunds(skipping_env, order_id) == ["5.00"]
    assert [each for each in await kinds(skipping_env, order_id) if each != "attempt_failed"] == [
        "refund_pending",
        "refunded",
    ]


async def test_refund_whose_answer_was_lost_and_whose_key_is_forgotten_is_found(
    skipping_env: WorkflowTestEnv, order_id: str
):
    skipping_env.provider.refunding.after.append(fails(ProviderUnavailable("answer lost")))

    async def works() -> None:
        return

    skipping_env.provider.refunding.before += [works, fails(PaymentRefused("already refunded"))]
    result = await (await start(skipping_env, order_id, amount=500)).result()
    assert (result.status, result.failure) == (IntentStatus.DONE, "")
    assert refunds(skipping_env, order_id) == ["5.00"]


async def test_refusal_after_an_unknown_outcome_is_definite_only_when_no_earlier_request_can_arrive(
    skipping_env: WorkflowTestEnv, order_id: str
):
    skipping_env.provider.refunding.before.append(fails(ProviderUnavailable("no answer")))
    skipping_env.provider.refunding.before += [fails(PaymentRefused("closed card"))] * 100
    handle = await start(skipping_env, order_id, amount=500)
    result = await handle.result()
    assert (result.status, result.failure) == (IntentStatus.REFUSED, "closed card")
    description = await handle.describe()
    assert description.close_time - description.start_time > timedelta(minutes=10)
    assert refunds(skipping_env, order_id) == []
    (payment,) = await PaymentReads(skipping_env.database).payments_of_order(order_id)
    assert (payment.refundable, payment.open_refunds) == (1998, 0)
    assert (await kinds(skipping_env, order_id))[-1] == "refund_failed"


async def test_refused_first_attempt_is_definite(skipping_env: WorkflowTestEnv, order_id: str):
    skipping_env.provider.refunding.before.append(fails(PaymentRefused("closed card")))
    handle = await start(skipping_env, order_id, amount=500)
    assert (await handle.result()).status is IntentStatus.REFUSED
    description = await handle.describe()
    assert description.close_time - description.start_time < timedelta(minutes=1)


async def test_refund_of_too_much_ends_without_a_call_of_the_provider(skipping_env: WorkflowTestEnv, order_id: str):
    result = await (await start(skipping_env, order_id, amount=1999)).result()
    assert result.decision is not None
    assert (result.decision.refused, result.decision.refundable) == (RefundRefusal.TOO_MUCH, 1998)
    assert (result.status, result.failure) == (
        IntentStatus.REFUSED,
        "19.99 USD cannot be refunded; 19.98 USD can be refunded",
    )
    assert refunds(skipping_env, order_id) == []
    assert await kinds(skipping_env, order_id) == []


async def test_refund_under_the_id_of_another_one_fails(skipping_env: WorkflowTestEnv, order_id: str):
    handle = await start(skipping_env, order_id, amount=500, workflow_id=f"refund-{uuid.uuid4()}")
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert "workflow id" in str(failed.value.cause)
    assert refunds(skipping_env, order_id) == []
