"""The hold of an order whose payment was not captured: what it waits for, and when it captures again.

A parked shipment is no attempt. The order waits without a child workflow, takes changes, may continue as new, and then
runs the shipment again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.durations import format_duration
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.shipment import ShippingResult
    from orderfleet.domain.status import Hold, HoldName

from orderfleet.orders.context import OrderCanceled, OrderContext
from orderfleet.temporal.step_runner import backoff

REMEDIES: Final = {
    HoldName.PAYMENT_REQUIRED: "retry the payment, also with another method; or cancel the order",
    HoldName.CAPTURE_UNKNOWN: "the order asks the payment provider again by itself; to stop it, cancel the order",
}


def begin(ctx: OrderContext, parked: ShippingResult) -> None:
    """Hold the order; one that is held already keeps its end.

    Args:
        ctx: the order.
        parked: result of the shipment.
    """
    state, now, name = ctx.state, workflow.now(), parked.hold or HoldName.CAPTURE_UNKNOWN
    before = state.hold
    since, until = (before.since, before.until) if before else (now, now + ctx.policy.payment_hold)
    reason = parked.reason or "the payment was not captured"
    state.hold = Hold(name=name, reason=reason, remedy=REMEDIES[name], since=since, until=until)
    if before is None or (before.name, before.reason) != (name, reason):
        ctx.journal.append(EventKind.HELD, name=name, reason=reason, until=until.isoformat())
    state.captures = state.captures + 1 if before is not None and before.name is name else 1
    state.capture_retry_at = _next_capture(ctx, now) if name is HoldName.CAPTURE_UNKNOWN else None


def _next_capture(ctx: OrderContext, now: datetime) -> datetime:
    return now + next(islice(backoff(ctx.policy.capture_retries), ctx.state.captures - 1, None))


async def wait(ctx: OrderContext) -> None:
    """Wait until the held order captures again.

    Raises:
        OrderCanceled: a cancel was accepted, or the hold timed out.
    """
    state = ctx.state
    if state.hold is None:
        return
    until = state.hold.until
    asked = await ctx.wait_until(
        lambda: state.capture_retry or state.payment_updated or state.cancel_requested is not None,
        min(until, state.capture_retry_at or until),
    )
    ctx.stop_if_canceled()
    if not asked and workflow.now() >= until:
        waited = format_duration(until - state.hold.since)
        raise OrderCanceled(f"the payment was not captured within {waited}: {state.hold.reason}")
    state.capture_retry = state.payment_updated = False


def end(ctx: OrderContext) -> None:
    """End the hold, if there is one."""
    if ctx.state.hold is not None:
        waited = (workflow.now() - ctx.state.hold.since) / timedelta(seconds=1)
        ctx.journal.append(EventKind.HOLD_ENDED, name=ctx.state.hold.name, waited_seconds=waited)
        ctx.state.hold = None
