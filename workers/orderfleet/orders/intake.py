"""The phases of an order before its charge: read its start, receive, validate, review.

A start has one object as its argument, or the four arguments of an earlier system. Reading it must raise no other error
than `InputRejected` for what a client sent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.activities import ReceiveInput, StepResult, ValidateInput, ValidateResult
    from orderfleet.domain.errors import InvalidOrder, OrderConflict, PaymentConflict, StoreRejected
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.inputs import InputRejected, check_readable, read
    from orderfleet.domain.order import Address, Customer, OrderInput, ReviewMode, ReviewTimeoutAction
    from orderfleet.domain.status import Step
    from orderfleet.orders.activities import OrderActivities

from orderfleet.orders.context import OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.payment import intent
from orderfleet.orders.state import Draft, OrderState
from orderfleet.temporal.step_runner import ActivityRef, StepFailed

_RECEIVE = ActivityRef(OrderActivities.receive, StepResult)
_VALIDATE = ActivityRef(OrderActivities.validate, ValidateResult)

REVIEW_TIMED_OUT = "review timed out"
_RECORDED_CONFLICTS = frozenset({PaymentConflict.__name__, InvalidOrder.__name__})
"""Errors of a receipt that has recorded the order; `InvalidOrder` is the type of a `ReferenceConflict`."""

_EARLIER: Final = ("order_id", "payment_id", "items", "address")
"""The four arguments of an earlier system."""
_CONTINUED: Final = 2
"""Arguments of a run that continues another: the order and its state."""
TAKES: Final = f"{names.ORDER_WORKFLOW} takes one object, the order, or four arguments: {', '.join(_EARLIER)}"


def read_order(args: Sequence[Any], info: workflow.Info) -> tuple[OrderInput, str | None, OrderState]:
    """Read the order that a client starts.

    Args:
        args: arguments of the workflow.
        info: of its first run.

    Returns:
        The order, with texts that are too long cut; the problems of these texts, or None; and its first state.

    Raises:
        InputRejected: the arguments are not an order, or the workflow id is not that of the order.
    """
    if info.cron_schedule:
        raise InputRejected("cron schedule: an order is handled once; start it without one")
    if len(args) not in {1, len(_EARLIER)}:
        raise InputRejected(f"{TAKES}; {len(args)} were given")
    try:
        check_readable(*args)
        order, too_long = read_and_cut(args[0] if len(args) == 1 else dict(zip(_EARLIER, args, strict=True)))
    except InputRejected as rejected:
        raise InputRejected(f"{rejected}. {TAKES}") from None
    expected = names.order_workflow_id(order.order_id)
    if info.workflow_id != expected:
        # The database, the API and the operator find the workflow of an order by this id alone.
        raise InputRejected(f"workflow id: is {info.workflow_id!r}; start order {order.order_id!r} as {expected!r}")
    return order, too_long, OrderState.new(order, info.start_time)


def read_and_cut(value: Any) -> tuple[OrderInput, str | None]:
    """Read an order; texts that are too long are cut, so that the order can be recorded with what is wrong."""
    try:
        return read(OrderInput, value), None
    except InputRejected as rejected:
        shortened = _cut(value)
        if shortened is None:
            raise
        return read(OrderInput, shortened), str(rejected)


def _cut(value: Any) -> Any:
    """A copy of `value` with its long texts cut; None if it has no long text."""
    try:
        OrderInput.model_validate(value)
    except ValidationError as error:
        long = [problem for problem in error.errors(include_url=False) if problem["type"] == "string_too_long"]
    except Exception:  # noqa: BLE001 - `read` reports the problem
        return None
    else:
        return None
    if not long:
        return None
    shortened = copy.deepcopy(value)
    try:
        for problem in long:
            *outer, last = problem["loc"]
            parent = shortened
            for part in outer:
                parent = parent[part]
            parent[last] = parent[last][: problem["ctx"]["max_length"]]
    except (LookupError, TypeError):
        # pydantic's location can name a branch of a union. An error here would fail the workflow task.
        return None
    return shortened


def read_continued(args: Sequence[Any], info: workflow.Info) -> tuple[OrderInput, str | None, OrderState]:
    """Read the order and the state that the previous run continued with.

    Args:
        args: arguments of the workflow.
        info: of its run.

    Returns:
        As `read_order`.

    Raises:
        InputRejected: the run is a retry of a client's start, and the arguments are rejected.
        RuntimeError: this build can't read the state of the previous run. The workflow task fails and is retried until
            a worker can: a rejection would end a charged order without a refund.
    """
    if info.cron_schedule or (info.attempt > 1 and len(args) != _CONTINUED):
        # The server starts these runs, with the arguments of the first one.
        return read_order(args, info)
    try:
        order, state = args
        return read(OrderInput, order), None, read(OrderState, state)
    except (InputRejected, ValueError) as error:
        if info.attempt > 1:
            raise InputRejected(str(error)) from None
        raise RuntimeError(f"the state of the previous run can't be read: {error}") from error


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
    ctx.state.address_checks, ctx.state.limits = result.address_checks, result.limits
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
