"""Promises about an order's own story: it was taken, it ended, and every state is explained. `promises` lists them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from check_context import CheckContext, Finding, requested
from clients import ADDRESS, ChangeResult, ClientLog
from evidence import order_workflow
from schedule import Action, Channel

from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.domain.transitions import TRANSITIONS

_FLOW_EVENTS: Final = {
    EventKind.RECEIVED,
    EventKind.VALIDATED,
    EventKind.REVIEW_STARTED,
    EventKind.CHARGE_STARTED,
    EventKind.CHARGED,
    EventKind.SHIPPED,
    EventKind.DELIVERED,
}
"""Events that tell of the order's next step; others may come at any."""
_END_EVENTS: Final = {
    Step.SHIPPED: EventKind.SHIPPED,
    Step.DELIVERED: EventKind.DELIVERED,
    Step.CANCELED: EventKind.CANCELED,
    Step.FAILED: EventKind.FAILED,
}
_PAYMENT_EVENTS: Final = {
    None: set[EventKind](),
    PaymentStatus.CHARGED: {EventKind.CHARGED},
    PaymentStatus.FAILED: {EventKind.CHARGE_REFUSED},
    PaymentStatus.VOIDED: {EventKind.PAYMENT_VOIDED},
    PaymentStatus.REFUNDED: {EventKind.REFUNDED, EventKind.PAYMENT_VOIDED},
}
"""Of each status that a payment may end with, the events one of which tells of it."""
_APPROVED: Final = "approved, and no event says so"
_NEW_ADDRESS: Final = "another address, and no event says so"


def answers(context: CheckContext) -> Iterator[Finding]:
    """Everybody who asked again was answered, and with nothing nobody should be told."""
    for name, client_log in context.found.client_logs.items():
        waiting = [] if client_log.order_id else ["it was never accepted"]
        if len(client_log.changes) < len(client_log.plan.actions):
            waiting.append(f"{client_log.plan.actions[len(client_log.changes)][1]} was never answered")
        yield name, "; ".join([*client_log.problems, *waiting])


def recorded(context: CheckContext) -> Iterator[Finding]:
    """Accepted orders and recorded orders are the same."""
    twice = Counter(client_log.order_id for client_log in context.found.client_logs.values())
    for order_id, client_log in context.accepted.items():
        if order_id not in context.found.orders:
            yield order_id, "" if _deleted_before_start(context, client_log) else "accepted, and not in the record"
        else:
            yield order_id, "" if twice[order_id] == 1 else f"the order of {twice[order_id]} customers"
    # An order may have been started whose customer never heard so.
    asked = {*context.accepted, *context.found.client_logs}
    for order_id in context.found.orders.keys() - asked:
        yield order_id, "in the record, and nobody asked for it"


def ends(context: CheckContext) -> Iterator[Finding]:
    """Each came to an end, with nothing owed."""
    for order_id, status in context.statuses.items():
        payment = status.payment.status
        if status.step not in _END_EVENTS or not status.ended:
            yield order_id, f"still at {status.step}"
        else:
            owed = payment in {PaymentStatus.INIT, PaymentStatus.REFUNDING}
            yield order_id, f"{status.step}, and its payment is still {payment}" if owed else ""


def steps(context: CheckContext) -> Iterator[Finding]:
    """What its events tell of is a walk along the table."""
    for order_id, status in context.statuses.items():
        events = context.found.events.get(order_id, ())
        client_log = _recorded_steps([event for event in events if event.kind in _FLOW_EVENTS or _is_end(event)])
        walked = [Step.RECEIVE, *client_log, status.step]
        wrong = [f"{a} -> {b}" for a, b in itertools.pairwise(walked) if a != b and b not in _reachable(a)]
        yield order_id, ", ".join(wrong)


def events(context: CheckContext) -> Iterator[Finding]:
    """Every state is explained by an event."""
    for order_id, status in context.statuses.items():
        wrong = list(_unexplained(status, context.found.events.get(order_id, ())))
        client_log = context.accepted[order_id]
        if client_log.plan.channel is Channel.KUBERNETES:
            # An edit may have come before the operator started the order with it.
            edits = {_NEW_ADDRESS: Action.REDIRECT, _APPROVED: Action.APPROVE}
            wrong = [one for one in wrong if one not in edits or not requested(client_log, edits[one])]
        yield order_id, "; ".join(wrong)


def accepted_changes(context: CheckContext) -> Iterator[Finding]:
    """What a customer heard was taken is so."""
    for order_id, client_log in context.accepted.items():
        status = context.statuses.get(order_id)
        for action, outcome, _again in client_log.changes:
            if outcome is ChangeResult.ACCEPTED and status is not None:
                yield order_id, _not_applied(action, status)


def _deleted_before_start(context: CheckContext, client_log: ClientLog) -> bool:
    """Whether the Order was deleted before the operator took it up, as may be: then there is no trace of it."""
    order_id = client_log.order_id or ""
    traces = (
        order_id in context.found.resources,
        order_workflow(context.found, order_id) is not None,
        any(entry.order_id == order_id for entry in context.found.money),
        any(parcel.order_id == order_id for parcel in context.found.parcels),
    )
    return requested(client_log, Action.DELETE) and not any(traces)


def _recorded_steps(events: Sequence[RecordedEvent]) -> list[Step]:
    """The steps that events tell of, without those of a workflow task that was lost and came out otherwise.

    Only local activities write for a task that may be lost; so such a story ends before the charge begins: an order
    that was let through to its charge, and is in review once the task is run again.
    """
    steps: list[Step] = []
    begun = False
    for event in events:
        begun = begun or event.kind is EventKind.CHARGE_STARTED
        if event.kind is EventKind.REVIEW_STARTED and not begun:
            steps = [step for step in steps if step is not Step.CHARGE]
        steps.append(event.step)
    return steps


def _is_end(event: RecordedEvent) -> bool:
    """Whether it tells of the order's own end; a shipment may be canceled and the order go on."""
    return _END_EVENTS.get(event.step) is event.kind


def _reachable(step: Step) -> set[Step]:
    """Steps that may follow, at once or later: not each has an event of its own."""
    found: set[Step] = set()
    ahead = [step]
    while ahead:
        following = TRANSITIONS[ahead.pop()] - found
        found |= following
        ahead.extend(following)
    return found


def _unexplained(status: OrderStatus, events: Sequence[RecordedEvent]) -> Iterator[str]:
    kinds = {event.kind for event in events}
    if EventKind.RECEIVED not in kinds:
        yield "no event tells that it was received"
    ends = [event.kind for event in events if _is_end(event)]
    if status.step in _END_EVENTS and ends != [_END_EVENTS[status.step]]:
        yield f"{status.step}, and its events tell of {ends or 'no end'}"
    if status.step is Step.CANCELED and not kinds & {EventKind.CANCEL_REQUESTED, EventKind.REVIEW_TIMED_OUT}:
        yield "canceled, and no event says at whose request"
    if status.approved and EventKind.APPROVED not in kinds:
        yield _APPROVED
    if status.address != Address(**ADDRESS) and EventKind.ADDRESS_CHANGED not in kinds:
        yield _NEW_ADDRESS
    client_log = _PAYMENT_EVENTS.get(status.payment.status)
    if client_log and not kinds & client_log:
        yield f"payment {status.payment.status}, and no event says so"
    if status.payment.status is None and kinds & {EventKind.CHARGED, EventKind.REFUNDED}:
        yield "events tell of a charge, and there is no payment"


def _not_applied(action: Action, status: OrderStatus) -> str:
    if action is Action.APPROVE and not status.approved:
        return "its approval was taken, and it isn't approved"
    if action in {Action.CANCEL, Action.CANCEL_PAYMENT} and status.step is not Step.CANCELED:
        return f"its cancel was taken, and it is {status.step}"
    if action is Action.REDIRECT and status.address == Address(**ADDRESS):
        return "its new address was taken, and it has the old one"
    return ""
