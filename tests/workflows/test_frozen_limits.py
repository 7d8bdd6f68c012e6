"""An order keeps the payment provider's limits of amounts that it was validated with."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowFailureError

from orderfleet.domain import names
from orderfleet.domain.ledger import IntentStatus, RefundRefusal
from orderfleet.domain.order import CaptureMode, Item, PaymentTerms
from orderfleet.domain.payment import AmountLimits, PaymentIntent
from orderfleet.domain.refunds import RefundOrder, RefundResult
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.services.workflow_client import Change
from orderfleet.store.finance import FinanceReads
from support.factories import ADDRESS, quick_policy
from support.polling import eventually
from support.workflow_env import WorkflowTestEnv

ITEMS = (Item(sku="tea", qty=3, price="1.005"), Item(sku="cup", qty=1, price="2.005"))
"""5.020 KWD: whole steps of 0.010 together, and neither line alone."""
TENS, HUNDREDS = AmountLimits(step=10, minimum=100), AmountLimits(step=100, minimum=10_000)


@pytest.mark.parametrize("capture", CaptureMode)
async def test_order_keeps_the_limits_of_its_validation_over_several_runs(
    workflow_env: WorkflowTestEnv, capture: CaptureMode
) -> None:
    order_id = f"limits-1-{capture}".lower()
    policy = quick_policy(workflow_env.settings, changes_per_run=2)
    workflow_env.provider.amount_limits = {"KWD": TENS}
    given = {"items": ITEMS, "currency": "KWD", "policy": policy, "payment": PaymentTerms(capture=capture)}
    handle = await workflow_env.start(workflow_env.order(order_id, **given))
    await workflow_env.until(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    workflow_env.provider.amount_limits = {"KWD": HUNDREDS}
    for number in range(3):
        address = ADDRESS.model_copy(update={"street": f"{number} Long St"})
        await workflow_env.client.change(order_id, Change.update_address(address))
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)
    await handle.signal("approve")
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert str(workflow_env.provider.money(f"pay-{order_id}")) == "5.020"
    terms = await FinanceReads(workflow_env.database).order_lines(order_id)
    assert terms is not None
    assert terms.step == TENS.step
    between, accepted = [await refund(workflow_env, order_id, amount) for amount in (15, 20)]
    assert between.decision is not None
    assert (between.decision.refused, between.decision.step) == (RefundRefusal.STEP, TENS.step)
    assert (accepted.status, str(workflow_env.provider.money(f"pay-{order_id}"))) == (IntentStatus.DONE, "5.000")


async def test_order_without_limits_takes_each_amount_after_the_provider_has_some(
    workflow_env: WorkflowTestEnv,
) -> None:
    handle = await workflow_env.start(workflow_env.order("limits-2", items=ITEMS, currency="KWD"))
    await workflow_env.until("limits-2", lambda status: status.step is Step.MANUAL_REVIEW)
    workflow_env.provider.amount_limits = {"KWD": HUNDREDS}
    await handle.signal("approve")
    assert (await handle.result()).step is Step.SHIPPED
    assert (await refund(workflow_env, "limits-2", 15)).status is IntentStatus.DONE
    later = await workflow_env.start(workflow_env.order("limits-3", items=ITEMS, currency="KWD"))
    with pytest.raises(WorkflowFailureError) as failed:
        await later.result()
    assert "is no multiple of 0.100 KWD" in str(failed.value.cause)
    assert "is below 10.000 KWD" in str(failed.value.cause)


async def refund(env: WorkflowTestEnv, order_id: str, amount: int) -> RefundResult:
    payment = PaymentIntent(payment_id=f"pay-{order_id}", order_id=order_id, amount=5020, currency="KWD")
    given = {"order_id": order_id, "payment": payment, "reason": "late", "refund_id": f"r{amount}", "amount": amount}
    start = RefundOrder(**given, policy=quick_policy(env.settings))
    workflow_id = names.refund_workflow_id(payment.payment_id, refund_id=start.refund_id)
    queue = env.settings.orders_task_queue
    result = await env.temporal.execute_workflow(
        names.REFUND_WORKFLOW, start, id=workflow_id, task_queue=queue, memo=start.memo(), result_type=RefundResult
    )
    assert isinstance(result, RefundResult)
    return result
