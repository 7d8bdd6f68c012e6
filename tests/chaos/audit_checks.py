"""Checks of each order's audit trail: it was accepted, it ended, and events explain every state."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from chaos.check_context import CheckContext, Finding, requested
from chaos.client_logs import ChangeResult, ClientLog
from chaos.evidence import order_workflow
from chaos.order_plans import Action, Channel
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step, payment_pending
from orderfleet.domain.transitions import ORDER_TRANSITIONS
from support.factories import ADDRESS_JSON

_FLOW_EVENTS: Final = {
    EventKind.RECEIVED,
    EventKind.VALIDATED,
    EventKind.REVIEW_STARTED,
    EventKind.CHARGE_STARTED,
    EventKind.CHARGED,
    EventKind.AUTHORIZED,
    EventKind.SHIPPED,
    EventKind.DELIVERED,
}
"""Events of the order's next step; other events may come at any step."""
_END_EVENTS: Final = {
    Step.SHIPPED: EventKind.SHIPPED,
    Step.DELIVERED: EventKind.DELIVERED,
    Step.CANCELED: EventKind.CANCELED,
    Step.FAILED: EventKind.FAILED,
}
_PAYMENT_EVENTS: Final = {
    None: set[EventKind](),
    PaymentStatus.CHARGED: {EventKind.CHARGED, EventKind.CAPTURED},
    PaymentStatus.PARTIALLY_REFUNDED: {EventKind.REFUNDED},
    PaymentStatus.FAILED: {EventKind.CHARGE_REFUSED},
    PaymentStatus.VOIDED: {EventKind.PAYMENT_VOIDED},
    PaymentStatus.REFUNDED: {EventKind.REFUNDED, EventKind.PAYMENT_VOIDED},
}
"""The events that explain a payment's final status; one of them is enough."""
_CANCELED_BY: Final = {
    EventKind.CANCEL_REQUESTED,
    EventKind.REVIEW_TIMED_OUT,
    EventKind.HOLD_ENDED,
    EventKind.PAYMENT_PENDING,
}
"""The events that explain why an order is canceled: the last two wait for a payment, for a limited time."""
_APPROVED: Final = "approved, without an event"
_NEW_ADDRESS: Final = "another address, without an event"


def answers(context: CheckContext) -> Iterator[Finding]:
    """Each request was answered, and no response was wrong."""
    for name, client_log in context.evidence.client_logs.items():
        waiting = [] if client_log.order_id else ["it was never accepted"]
        if len(client_log.changes) < len(client_log.plan.actions):
            waiting.append(f"{client_log.plan.actions[len(client_log.changes)][1]} was never answered")
        if client_log.order_id and len(client_log.refunds) < client_log.plan.refunds:
            waiting.append(f"{len(client_log.refunds)} of {client_log.plan.refunds} refunds were answered")
        yield name, "; ".join([*client_log.problems, *waiting])


def recorded(context: CheckContext) -> Iterator[Finding]:
    """Accepted orders and stored orders are the same."""
    clients_of = Counter(client_log.order_id for client_log in context.evidence.client_logs.values())
    for order_id, client_log in context.accepted.items():
        if order_id not in context.evidence.orders:
            yield order_id, "" if _deleted_before_start(context, client_log) else "accepted, and not stored"
        else:
            yield order_id, "" if clients_of[order_id] == 1 else f"the order of {clients_of[order_id]} clients"
    # An order may have been started although its client got no response.
    requested_ids = {*context.accepted, *context.evidence.client_logs}
    for order_id in context.evidence.orders.keys() - requested_ids:
        yield order_id, "stored, without a request"


def ends(context: CheckContext) -> Iterator[Finding]:
    """Each order ended, and neither an authorization nor a refund is pending."""
    for order_id, status in context.statuses.items():
        payment = status.payment.status
        if status.step not in _END_EVENTS or not status.ended:
            yield order_id, f"still at {status.step}"
        else:
            pending = payment_pending(status.step, payment) or payment is PaymentStatus.AUTHORIZED
            yield order_id, f"{status.step}, and its payment is still {payment}" if pending else ""


def steps(context: CheckContext) -> Iterator[Finding]:
    """The steps of an order's events follow the transition table."""
    for order_id, status in context.statuses.items():
        events = context.evidence.events.get(order_id, ())
        recorded = _recorded_steps([event for event in events if event.kind in _FLOW_EVENTS or _is_end(event)])
        path = [Step.RECEIVE, *recorded, status.step]
        violations = [f"{a} -> {b}" for a, b in itertools.pairwise(path) if a != b and b not in _reachable(a)]
        yield order_id, ", ".join(violations)


def events(context: CheckContext) -> Iterator[Finding]:
    """An event explains every state."""
    for order_id, status in context.statuses.items():
        violations = list(_unexplained(status, context.evidence.events.get(order_id, ())))
        client_log = context.accepted[order_id]
        if client_log.plan.channel is Channel.KUBERNETES:
            # If the edit came before the operator started the order, the order started with it and has no event of it.
            edits = {_NEW_ADDRESS: Action.REDIRECT, _APPROVED: Action.APPROVE}
            violations = [one for one in violations if one not in edits or not requested(client_log, edits[one])]
        yield order_id, "; ".join(violations)


def accepted_changes(context: CheckContext) -> Iterator[Finding]:
    """Each change that a client received as accepted took effect."""
    for order_id, client_log in context.accepted.items():
        status = context.statuses.get(order_id)
        for action, outcome, _again in client_log.changes:
            if outcome is ChangeResult.ACCEPTED and status is not None:
                yield order_id, _not_applied(action, status)


def _deleted_before_start(context: CheckContext, client_log: ClientLog) -> bool:
    """Return whether the Order was deleted before the operator started it: it leaves no trace then."""
    order_id = client_log.order_id or ""
    traces = (
        order_id in context.evidence.resources,
        order_workflow(context.evidence, order_id) is not None,
        any(entry.order_id == order_id for entry in context.evidence.money),
        any(parcel.order_id == order_id for parcel in context.evidence.parcels),
    )
    return requested(client_log, Action.DELETE) and not any(traces)


def _recorded_steps(events: Sequence[RecordedEvent]) -> list[Step]:
    """Return the steps of the events, without those of a lost workflow task.

    A local activity can be lost with its task after it has written, and the repeated task may decide differently. Only
    tasks before the charge use local activities: an event of the charge may precede one of the review.
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
    """Return whether the event ends the order; an event with that kind but another step ends a shipment only."""
    return _END_EVENTS.get(event.step) is event.kind


def _reachable(step: Step) -> set[Step]:
    """Return the steps that may follow, directly or later: not every step has an event."""
    found: set[Step] = set()
    ahead = [step]
    while ahead:
        following = ORDER_TRANSITIONS[ahead.pop()] - found
        found |= following
        ahead.extend(following)
    return found


def _unexplained(status: OrderStatus, events: Sequence[RecordedEvent]) -> Iterator[str]:
    kinds = {event.kind for event in events}
    if EventKind.RECEIVED not in kinds:
        yield "no event of its receipt"
    ends = [event.kind for event in events if _is_end(event)]
    if status.step in _END_EVENTS and ends != [_END_EVENTS[status.step]]:
        yield f"{status.step}, and the end events are {ends or 'missing'}"
    if status.step is Step.CANCELED and not kinds & _CANCELED_BY:
        yield "canceled, and no event explains why"
    if status.approved and EventKind.APPROVED not in kinds:
        yield _APPROVED
    if status.address != Address(**ADDRESS_JSON) and EventKind.ADDRESS_CHANGED not in kinds:
        yield _NEW_ADDRESS
    explaining = _PAYMENT_EVENTS.get(status.payment.status)
    if explaining and not kinds & explaining:
        yield f"payment {status.payment.status}, without an event"
    if status.payment.status is None and kinds & {EventKind.CHARGED, EventKind.REFUNDED}:
        yield "events of a charge, and there is no payment"


def _not_applied(action: Action, status: OrderStatus) -> str:
    if action is Action.APPROVE and not status.approved:
        return "its approval was accepted, and it isn't approved"
    if action in {Action.CANCEL, Action.CANCEL_PAYMENT} and status.step is not Step.CANCELED:
        return f"its cancel was accepted, and it is {status.step}"
    if action is Action.REDIRECT and status.address == Address(**ADDRESS_JSON):
        return "its new address was accepted, and it has the old one"
    return ""
