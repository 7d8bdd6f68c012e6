"""Promises about an order's own story: it was taken, it ended, and every state is explained. `promises` lists them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from case import Case, Finding, did
from customers import HOME, Outcome, Told
from evidence import of_order
from schedule import Act, Side

from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.domain.transitions import ORDER_TRANSITIONS

_OF_THE_FLOW: Final = {
    EventKind.RECEIVED,
    EventKind.VALIDATED,
    EventKind.REVIEW_STARTED,
    EventKind.CHARGE_STARTED,
    EventKind.CHARGED,
    EventKind.SHIPPED,
    EventKind.DELIVERED,
}
"""Events that tell of the order's next step; others may come at any."""
_ENDINGS: Final = {
    Step.SHIPPED: EventKind.SHIPPED,
    Step.DELIVERED: EventKind.DELIVERED,
    Step.CANCELED: EventKind.CANCELED,
    Step.FAILED: EventKind.FAILED,
}
_TOLD_OF_PAYMENT: Final = {
    None: set[EventKind](),
    PaymentStatus.CHARGED: {EventKind.CHARGED},
    PaymentStatus.FAILED: {EventKind.CHARGE_REFUSED},
    PaymentStatus.VOIDED: {EventKind.PAYMENT_VOIDED},
    PaymentStatus.REFUNDED: {EventKind.REFUNDED, EventKind.PAYMENT_VOIDED},
}
"""Of each status that a payment may end with, the events one of which tells of it."""
_APPROVED: Final = "approved, and no event says so"
_NEW_ADDRESS: Final = "another address, and no event says so"


def answers(case: Case) -> Iterator[Finding]:
    """Everybody who asked again was answered, and with nothing nobody should be told."""
    for name, told in case.found.told.items():
        waiting = [] if told.order_id else ["it was never accepted"]
        if len(told.changes) < len(told.wish.acts):
            waiting.append(f"{told.wish.acts[len(told.changes)][1]} was never answered")
        yield name, "; ".join([*told.problems, *waiting])


def recorded(case: Case) -> Iterator[Finding]:
    """Accepted orders and recorded orders are the same."""
    twice = Counter(told.order_id for told in case.found.told.values())
    for order_id, told in case.accepted.items():
        if order_id not in case.found.orders:
            yield order_id, "" if _withdrawn(case, told) else "accepted, and not in the record"
        else:
            yield order_id, "" if twice[order_id] == 1 else f"the order of {twice[order_id]} customers"
    # An order may have been started whose customer never heard so.
    asked = {*case.accepted, *case.found.told}
    for order_id in case.found.orders.keys() - asked:
        yield order_id, "in the record, and nobody asked for it"


def ends(case: Case) -> Iterator[Finding]:
    """Each came to an end, with nothing owed."""
    for order_id, status in case.statuses.items():
        payment = status.payment.status
        if status.step not in _ENDINGS or not status.ended:
            yield order_id, f"still at {status.step}"
        else:
            owed = payment in {PaymentStatus.INIT, PaymentStatus.REFUNDING}
            yield order_id, f"{status.step}, and its payment is still {payment}" if owed else ""


def steps(case: Case) -> Iterator[Finding]:
    """What its events tell of is a walk along the table."""
    for order_id, status in case.statuses.items():
        events = case.found.events.get(order_id, ())
        told = _last_told([event for event in events if event.kind in _OF_THE_FLOW or _is_end(event)])
        walked = [Step.RECEIVE, *told, status.step]
        wrong = [f"{a} -> {b}" for a, b in itertools.pairwise(walked) if a != b and b not in _reach(a)]
        yield order_id, ", ".join(wrong)


def events(case: Case) -> Iterator[Finding]:
    """Every state is explained by an event."""
    for order_id, status in case.statuses.items():
        wrong = list(_unexplained(status, case.found.events.get(order_id, ())))
        told = case.accepted[order_id]
        if told.wish.side is Side.KUBERNETES:
            # An edit may have come before the operator started the order with it.
            edits = {_NEW_ADDRESS: Act.REDIRECT, _APPROVED: Act.APPROVE}
            wrong = [one for one in wrong if one not in edits or not did(told, edits[one])]
        yield order_id, "; ".join(wrong)


def words(case: Case) -> Iterator[Finding]:
    """What a customer heard was taken is so."""
    for order_id, told in case.accepted.items():
        status = case.statuses.get(order_id)
        for act, outcome, _again in told.changes:
            if outcome is Outcome.TAKEN and status is not None:
                yield order_id, _not_so(act, status)


def _withdrawn(case: Case, told: Told) -> bool:
    """Whether the Order was deleted before the operator took it up, as may be: then there is no trace of it."""
    order_id = told.order_id or ""
    traces = (
        order_id in case.found.resources,
        of_order(case.found, order_id) is not None,
        any(entry.order_id == order_id for entry in case.found.money),
        any(parcel.order_id == order_id for parcel in case.found.parcels),
    )
    return did(told, Act.DELETE) and not any(traces)


def _last_told(events: Sequence[RecordedEvent]) -> list[Step]:
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
    return _ENDINGS.get(event.step) is event.kind


def _reach(step: Step) -> set[Step]:
    """Steps that may follow, at once or later: not each has an event of its own."""
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
        yield "no event tells that it was received"
    ends = [event.kind for event in events if _is_end(event)]
    if status.step in _ENDINGS and ends != [_ENDINGS[status.step]]:
        yield f"{status.step}, and its events tell of {ends or 'no end'}"
    if status.step is Step.CANCELED and not kinds & {EventKind.CANCEL_REQUESTED, EventKind.REVIEW_TIMED_OUT}:
        yield "canceled, and no event says at whose request"
    if status.approved and EventKind.APPROVED not in kinds:
        yield _APPROVED
    if status.address != Address(**HOME) and EventKind.ADDRESS_CHANGED not in kinds:
        yield _NEW_ADDRESS
    told = _TOLD_OF_PAYMENT.get(status.payment.status)
    if told and not kinds & told:
        yield f"payment {status.payment.status}, and no event says so"
    if status.payment.status is None and kinds & {EventKind.CHARGED, EventKind.REFUNDED}:
        yield "events tell of a charge, and there is no payment"


def _not_so(act: Act, status: OrderStatus) -> str:
    if act is Act.APPROVE and not status.approved:
        return "its approval was taken, and it isn't approved"
    if act in {Act.CANCEL, Act.CANCEL_PAYMENT} and status.step is not Step.CANCELED:
        return f"its cancel was taken, and it is {status.step}"
    if act is Act.REDIRECT and status.address == Address(**HOME):
        return "its new address was taken, and it has the old one"
    return ""
