"""The phases of an order before its charge: receive, validate, review."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain.activities import ReceiveInput, StepResult, ValidateInput, ValidateResult
    from orderfleet.domain.errors import InvalidOrder, OrderConflict, PaymentConflict, StoreRejected
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address, Customer, OrderInput, ReviewMode, ReviewTimeoutAction
    from orderfleet.domain.status import Step
    from orderfleet.orders.activities import OrderActivities

from orderfleet.orders.context import OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.payment import intent
from orderfleet.orders.state import Draft
from orderfleet.temporal.step_runner import ActivityRef, StepFailed

_RECEIVE = ActivityRef(OrderActivities.receive, StepResult)
_VALIDATE = ActivityRef(OrderActivities.validate, ValidateResult)

REVIEW_TIMED_OUT = "review timed out"
_RECORDED_CONFLICTS = frozenset({PaymentConflict.__name__, InvalidOrder.__name__})
"""Errors of a receipt that has recorded the order; `InvalidOrder` is the type of a `ReferenceConflict`."""


async def receive(ctx: OrderContext) -> None:
    """Record the order.

    Raises:
        ApplicationError: another execution recorded the order id; this workflow fails and writes nothing.
        OrderFailed: its payment id or its reference belongs to another order, or the order could not be recorded for
            another reason.
    """
    ctx.journal.append(EventKind.RECEIVED, owner=ctx.order.owner, amount=str(intent(ctx).decimal_amount))
    draft = ctx.journal.draft()
    try:
        result = await ctx.steps.run_locally(_RECEIVE, _receipt(ctx, ctx.order, draft), ctx.policy.receive)
    except StepFailed as failed:
        if failed.type in _RECORDED_CONFLICTS:
            # The order is recorded, without its payment id or its reference.
            ctx.state.received = True
            ctx.journal.commit(draft)
            raise OrderFailed(f"receive: {failed}") from failed
        ctx.journal.rollback(draft)
        if failed.type == OrderConflict.__name__:
            # The row belongs to another order, so nothing may be written to it.
            raise ApplicationError(str(failed), type=failed.type, non_retryable=True) from failed
        raise OrderFailed(f"receive: {failed}") from failed
    ctx.state.received = True
    ctx.journal.commit(draft)
    ctx.state.count_retries("receive", result.attempt)


async def record_failed_receipt(ctx: OrderContext) -> None:
    """Record the end of an order that could not be received: `receive` is run once more, with the order's end.

    An order that Postgres rejects is recorded with its ids only, so that its failure is visible to readers.
    """
    draft = ctx.journal.draft()
    order = ctx.order
    left_out = {"items": (), "adjustments": (), "address": Address(), "customer": Customer(), "currency": ""}
    ids_only = order.model_copy(update=left_out)
    for recorded in (order, ids_only):
        try:
            await ctx.steps.run(_RECEIVE, _receipt(ctx, recorded, draft), ctx.policy.receive)
        except StepFailed as failed:
            if failed.type == StoreRejected.__name__:
                continue
            if failed.type not in _RECORDED_CONFLICTS:
                # There is no row to write to; the failure of the workflow has the reason.
                return
        ctx.journal.commit(draft)
        return


def _receipt(ctx: OrderContext, order: OrderInput, draft: Draft) -> ReceiveInput:
    return ReceiveInput(
        order_id=order.order_id,
        order=order,
        first_run_id=workflow.info().first_execution_run_id,
        started_at=ctx.state.created_at,
        progress=draft.progress,
    )


async def validate(ctx: OrderContext) -> None:
    """Check the order; afterwards its step is the review, or the charge if it needs no review.

    Raises:
        OrderFailed: the order is invalid; the reason names the field.
        OrderCanceled: a cancel was accepted.
    """
    ctx.stop_if_canceled()
    ctx.state.enter(Step.VALIDATE)
    if ctx.too_long is not None:
        raise OrderFailed(ctx.too_long)
    review = ctx.order.review
    if review.mode is ReviewMode.AUTO and not ctx.state.approved:
        ctx.state.approved = True
    following = Step.CHARGE if ctx.state.approved else Step.MANUAL_REVIEW
    expect: list[tuple[EventKind, dict[str, Any]]] = [(EventKind.VALIDATED, {})]
    if following is Step.MANUAL_REVIEW:
        ctx.state.review_deadline = workflow.now() + review.timeout
        expect.append((EventKind.REVIEW_STARTED, {"until": ctx.state.review_deadline.isoformat()}))
    else:
        expect.append((EventKind.APPROVED, {"by": "review mode" if review.mode is ReviewMode.AUTO else "spec"}))
    draft = ctx.journal.draft(then=following, expect=tuple(expect))
    arg = ValidateInput(order_id=ctx.order.order_id, order=ctx.order, progress=draft.progress)
    try:
        result = await ctx.steps.run_locally(_VALIDATE, arg, ctx.policy.validation)
    except StepFailed as failed:
        ctx.journal.rollback(draft)
        raise OrderFailed(str(failed)) from failed
    ctx.journal.commit(draft)
    ctx.state.address_checks = result.address_checks
    ctx.state.count_retries("validate", result.attempt)


async def review(ctx: OrderContext) -> None:
    """Wait until the order is approved.

    Raises:
        OrderCanceled: a cancel was accepted, or the review timed out.
    """
    state = ctx.state
    if state.step is not Step.MANUAL_REVIEW or state.review_deadline is None:
        return
    decided = await ctx.wait_until(lambda: state.approved or state.cancel_requested is not None, state.review_deadline)
    if not decided:
        _time_out(ctx)
    ctx.stop_if_canceled()


def _time_out(ctx: OrderContext) -> None:
    ctx.journal.append(EventKind.REVIEW_TIMED_OUT, then=ctx.order.review.on_timeout, **ctx.reviewed())
    if ctx.order.review.on_timeout is ReviewTimeoutAction.CANCEL:
        raise OrderCanceled(REVIEW_TIMED_OUT)
    ctx.state.approved = True
