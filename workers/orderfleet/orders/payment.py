"""The payment of one order: charge or authorize it once, wait for the customer, void, refund.

An order ends with no charge, with one charge, or with one charge whose refund is done or is made by `RefundWorkflow`.
An authorization is captured by a shipment; one that was not is voided.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import ChargeInput, ChargeResult, IdHolder, VoidInput, VoidResult
    from orderfleet.domain.errors import PaymentConflict, PaymentRefused, PaymentVoided
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.ledger import IntentStatus
    from orderfleet.domain.payment import PaymentIntent
    from orderfleet.domain.refunds import RefundOrder
    from orderfleet.domain.status import PaymentStatus, PendingCustomer, Step
    from orderfleet.orders.payment_activities import PaymentActivities

from orderfleet.orders.context import OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.state import Draft
from orderfleet.temporal.refunds import start_refund
from orderfleet.temporal.step_runner import ActivityRef, StepFailed, backoff

_CHARGE = ActivityRef(PaymentActivities.charge, ChargeResult)
_LOOK_UP = ActivityRef(PaymentActivities.look_up_payment, ChargeResult)
_VOID = ActivityRef(PaymentActivities.void_payment, VoidResult)

REFUND_WAIT: Final = timedelta(seconds=10)
"""How long an order in compensation waits for `RefundWorkflow`. Then it ends, and the workflow continues by itself."""


def intent(ctx: OrderContext) -> PaymentIntent:
    """The charge or the authorization of the order."""
    order = ctx.order
    # The order's own reference is the shop's number; that of the payment is the provider's id, which the store has.
    return PaymentIntent(
        payment_id=order.payment_id,
        order_id=order.order_id,
        currency=order.currency,
        amount=order.amount,
        method=ctx.state.payment_method or order.payment.method,
    )


async def charge(ctx: OrderContext) -> None:
    """Charge or authorize the order; afterwards its step is shipping.

    Raises:
        OrderFailed: the payment was not charged, or is voided.
        OrderCanceled: a cancel was accepted, or the customer did not complete the payment in time.
    """
    # A run that continues another one waits already.
    pending = ctx.state.payment_status is PaymentStatus.PENDING
    if not pending:
        ctx.state.enter(Step.CHARGE)
        ctx.state.payment_status = PaymentStatus.INIT
        payment = intent(ctx)
        ctx.journal.append(EventKind.CHARGE_STARTED, payment=payment.payment_id, amount=str(payment.decimal_amount))
        pending = await _ask(ctx, _CHARGE)
    if pending:
        await _wait_for_customer(ctx)


async def _ask(ctx: OrderContext, activity: ActivityRef[ChargeInput, ChargeResult]) -> bool:
    """Run an activity that charges or looks up the payment, and take its result into the state.

    Returns:
        Whether the payment waits for the customer.

    Raises:
        OrderFailed: the payment was not charged, or is voided.
    """
    is_look_up = activity is _LOOK_UP
    payment = intent(ctx)
    begin = ctx.journal.draft()
    done = ctx.journal.draft(then=Step.SHIPPING)
    arg = ChargeInput(
        order_id=ctx.order.order_id,
        payment=payment,
        capture=ctx.order.payment.capture,
        limits=ctx.state.limits,
        begin=begin.progress,
        done_seq=done.progress.seq,
    )
    try:
        result = await ctx.record_while(ctx.steps.run(activity, arg, ctx.policy.charge))
    except StepFailed as failed:
        ctx.journal.rollback(begin)
        if is_look_up and not failed.final:
            # The payment still waits; the next look-up may have an answer.
            return True
        _not_charged(ctx, failed)
        raise OrderFailed(f"charge: {failed}") from failed
    ctx.state.count_retries("charge", result.attempt)
    _take(ctx, result, done)
    return result.status is PaymentStatus.PENDING


def _take(ctx: OrderContext, result: ChargeResult, done: Draft) -> None:
    """Take the answer of the provider into the state."""
    ctx.state.payment_status = result.status
    if result.status is not PaymentStatus.PENDING:
        ctx.state.payment_pending = ctx.state.pending_until = None
        ctx.journal.commit(done)
        return
    now, pending = workflow.now(), result.pending or PendingCustomer()
    if ctx.state.pending_until is None:
        ctx.state.pending_until = now + ctx.policy.payment_pending
    if pending.until is not None:
        ctx.state.pending_until = pending.until
    ctx.state.payment_pending = pending
    ctx.journal.commit(done, Step.CHARGE)


async def _wait_for_customer(ctx: OrderContext) -> None:
    """Wait until the payment is charged or authorized: a notice of the provider, or else look-ups with growing gaps.

    Raises:
        OrderFailed: it was refused.
        OrderCanceled: a cancel was accepted, or the customer did not complete the payment in time.
    """
    state = ctx.state
    waits = backoff(ctx.policy.payment_look_ups)
    pending = True
    while pending:
        until = state.pending_until or workflow.now()
        await ctx.wait_until(
            lambda: state.payment_updated or state.cancel_requested is not None,
            min(until, workflow.now() + next(waits)),
        )
        ctx.stop_if_canceled()
        state.payment_updated = False
        is_last = workflow.now() >= until
        pending = await _ask(ctx, _LOOK_UP)
        # The provider may have named a later end.
        if is_last and pending and (state.pending_until or until) <= until:
            raise OrderCanceled("the customer did not complete the payment in time")


def _not_charged(ctx: OrderContext, failed: StepFailed) -> None:
    """Record a refused charge, or one of unknown outcome, which `undo` voids."""
    match failed.type:
        case PaymentRefused.__name__:
            ctx.state.payment_status = PaymentStatus.FAILED
            ctx.state.payment_pending = None
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


_OPEN: Final = frozenset(
    {PaymentStatus.INIT, PaymentStatus.PENDING, PaymentStatus.AUTHORIZED, PaymentStatus.PARTIALLY_CAPTURED}
)
"""Statuses of a payment that may take money, also by a charge or a capture whose outcome is unknown."""


async def undo(ctx: OrderContext, reason: str) -> None:
    """Make sure that the order's payment takes no money, and return what it has taken.

    A refund, and a void that fails, is made by `RefundWorkflow`, for which the order waits at most `REFUND_WAIT`.

    Args:
        ctx: the order; nothing is done if its charge has not begun or was refused.
        reason: why the payment is undone.
    """
    if ctx.state.payment_status in _OPEN:
        # The void is the definite answer to a charge or a capture of unknown outcome, too.
        await _void(ctx, reason)
    if ctx.state.payment_status is PaymentStatus.CHARGED:
        ctx.state.payment_status = PaymentStatus.REFUNDING
        ctx.journal.append(EventKind.REFUND_PENDING, payment=ctx.order.payment_id, reason=reason)
        await _run_refund(ctx, reason)


async def _void(ctx: OrderContext, reason: str) -> None:
    """Void the payment; one that the provider can't void yet is left to `RefundWorkflow`."""
    ctx.state.payment_pending = ctx.state.pending_until = None
    payment = intent(ctx)
    draft = ctx.journal.draft(expect=((EventKind.PAYMENT_VOIDED, {"payment": payment.payment_id}),))
    arg = VoidInput(order_id=ctx.order.order_id, payment=payment, progress=draft.progress)
    # An order does not end before the outcome of its charge is known. The customer may take days.
    run = ctx.steps.retry_forever if ctx.state.payment_status is PaymentStatus.INIT else ctx.steps.run
    try:
        result = await ctx.record_while(run(_VOID, arg, ctx.policy.refund))
    except StepFailed:
        ctx.journal.rollback(draft)
        await _run_refund(ctx, reason, void=True)
        return
    ctx.state.payment_status = result.status
    ctx.journal.commit(draft)


async def _run_refund(ctx: OrderContext, reason: str, *, void: bool = False) -> None:
    """Start `RefundWorkflow` and take its result into the state if it ends within `REFUND_WAIT`.

    Args:
        ctx: the order.
        reason: why the payment is undone.
        void: whether the payment may still take money.
    """
    start = RefundOrder(order_id=ctx.order.order_id, payment=intent(ctx), reason=reason, policy=ctx.policy, void=void)
    refund = await start_refund(
        ctx.steps,
        start,
        workflow.info().task_queue,
        lambda workflow_id: ctx.journal.append(EventKind.WORKFLOW_ID_CONFLICT, workflow_id=workflow_id),
    )
    if isinstance(refund, IdHolder):
        # A shipment that could not signal this workflow started it, or this order before a reset.
        if refund is IdHolder.COMPLETED and not void:
            ctx.state.payment_status = PaymentStatus.REFUNDED
        return
    await workflow.wait([refund], timeout=REFUND_WAIT.total_seconds())
    if refund.done() and refund.exception() is None and refund.result().status is IntentStatus.DONE:
        ctx.state.payment_status = refund.result().payment or PaymentStatus.REFUNDED
