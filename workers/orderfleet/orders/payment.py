"""The payment of one order: charge it once, void a charge of unknown outcome, refund.

An order ends with no charge, with one charge, or with one charge whose refund is done or is made by `RefundWorkflow`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import ChargeInput, IdHolder, StepResult, VoidInput, VoidResult
    from orderfleet.domain.errors import PaymentConflict, PaymentRefused, PaymentVoided
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.ledger import IntentStatus
    from orderfleet.domain.payment import PaymentIntent
    from orderfleet.domain.refunds import RefundOrder
    from orderfleet.domain.status import PaymentStatus, Step
    from orderfleet.orders.payment_activities import PaymentActivities

from orderfleet.orders.context import OrderContext, OrderFailed
from orderfleet.temporal.refunds import start_refund
from orderfleet.temporal.step_runner import ActivityRef, StepFailed

_CHARGE = ActivityRef(PaymentActivities.charge, StepResult)
_VOID = ActivityRef(PaymentActivities.void_payment, VoidResult)

REFUND_WAIT: Final = timedelta(seconds=10)
"""How long an order in compensation waits for its refund. Then it ends, and the refund continues by itself."""


def intent(ctx: OrderContext) -> PaymentIntent:
    """The charge of the order."""
    return PaymentIntent(**dict(ctx.order), amount=ctx.order.amount)


async def charge(ctx: OrderContext) -> None:
    """Charge the order; afterwards its step is shipping.

    Raises:
        OrderFailed: the payment was not charged, or is voided.
    """
    ctx.state.enter(Step.CHARGE)
    ctx.state.payment_status = PaymentStatus.INIT
    payment = intent(ctx)
    ctx.journal.append(EventKind.CHARGE_STARTED, payment=payment.payment_id, amount=str(payment.decimal_amount))
    begin = ctx.journal.draft()
    done = ctx.journal.draft(then=Step.SHIPPING)
    arg = ChargeInput(order_id=ctx.order.order_id, payment=payment, begin=begin.progress, done_seq=done.progress.seq)
    try:
        result = await ctx.record_while(ctx.steps.run(_CHARGE, arg, ctx.policy.charge))
    except StepFailed as failed:
        ctx.journal.rollback(begin)
        await _not_charged(ctx, payment, failed)
        raise OrderFailed(f"charge: {failed}") from failed
    ctx.state.payment_status = PaymentStatus.CHARGED
    ctx.state.count_retries("charge", result.attempt)
    ctx.journal.commit(done)


async def _not_charged(ctx: OrderContext, payment: PaymentIntent, failed: StepFailed) -> None:
    """Record a refused charge, or void one of unknown outcome."""
    match failed.type:
        case PaymentRefused.__name__:
            ctx.state.payment_status = PaymentStatus.FAILED
            ctx.journal.append(EventKind.CHARGE_REFUSED, reason=str(failed))
        case PaymentConflict.__name__:
            # The payment belongs to another order and must not be voided.
            ctx.state.payment_status = None
            ctx.journal.append(EventKind.CHARGE_REFUSED, reason=str(failed))
        case PaymentVoided.__name__:
            ctx.state.payment_status = PaymentStatus.VOIDED
            ctx.journal.append(EventKind.CHARGE_REFUSED, reason=str(failed))
        case _:
            if not failed.final:
                ctx.state.count_retries("charge", ctx.policy.charge.attempts)
            ctx.journal.append(EventKind.CHARGE_UNKNOWN, reason=str(failed))
            await _void(ctx, payment)


async def _void(ctx: OrderContext, payment: PaymentIntent) -> None:
    draft = ctx.journal.draft(expect=((EventKind.PAYMENT_VOIDED, {"payment": payment.payment_id}),))
    arg = VoidInput(order_id=ctx.order.order_id, payment=payment, progress=draft.progress)
    result = await ctx.record_while(ctx.steps.retry_forever(_VOID, arg, ctx.policy.refund))
    ctx.state.payment_status = result.status
    ctx.journal.commit(draft)


async def refund(ctx: OrderContext, reason: str) -> None:
    """Start the refund of a charged order, and wait for it for at most `REFUND_WAIT`.

    Args:
        ctx: the order; nothing is done unless it is charged.
        reason: why the payment is refunded.
    """
    if ctx.state.payment_status is not PaymentStatus.CHARGED:
        return
    ctx.state.payment_status = PaymentStatus.REFUNDING
    ctx.journal.append(EventKind.REFUND_PENDING, payment=ctx.order.payment_id, reason=reason)
    start = RefundOrder(order_id=ctx.order.order_id, payment=intent(ctx), reason=reason, policy=ctx.policy)
    refund = await start_refund(
        ctx.steps,
        start,
        workflow.info().task_queue,
        lambda workflow_id: ctx.journal.append(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=workflow_id),
    )
    if isinstance(refund, IdHolder):
        # A shipment that could not signal this workflow started it, or this order before a reset.
        if refund is IdHolder.COMPLETED:
            ctx.state.payment_status = PaymentStatus.REFUNDED
        return
    await workflow.wait([refund], timeout=REFUND_WAIT.total_seconds())
    if refund.done() and refund.exception() is None and refund.result().status is IntentStatus.DONE:
        ctx.state.payment_status = PaymentStatus.REFUNDED
