"""Holds the evidence of a run against every promise, and counts. Pure.

`chaos` and the tests print what it finds. Each promise says how many things it was held against: one that
was held against none shows nothing. It must never excuse what it finds by what went wrong in the run.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from customers import HOME, Outcome, Told
from evidence import Evidence, of_order
from schedule import Act, Side

from books import SHIPPED, wrong_money, wrong_parcels
from orderfleet.carriers.ledger import TakenParcel
from orderfleet.contracts.names import (
    ENDED_LABEL,
    ORDER_WORKFLOW,
    order_id_of,
    order_workflow_id,
    refund_workflow_id,
)
from orderfleet.contracts.order import Address
from orderfleet.contracts.record import EventKind, RecordedEvent
from orderfleet.contracts.status import OrderStatus, PaymentStatus, Step
from orderfleet.operator.conditions import ConditionType
from orderfleet.orders.lifecycle import TRANSITIONS

Finding = tuple[str, str]
"""What it is about, and what is wrong with it; nothing is an empty text."""

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

_NEW_ADDRESS: Final = "another address, and no event says so"


@dataclass
class Promise:
    """A promise, how many things it was held against, and those that broke it."""

    text: str
    held_against: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.broken)} BROKEN" if self.broken else "kept"
        return f"{self.text}: {self.held_against} looked at, {verdict}"


def promises(evidence: Evidence) -> list[Promise]:
    """Every promise, judged."""
    case = _Case(evidence)
    made: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("a client that asks again is answered, and never wrongly", case.answers),
        ("each accepted order is recorded once, and no order that nobody asked for", case.recorded),
        ("each accepted order reached an end", case.ends),
        ("an order moved only along the table of its steps", case.steps),
        ("no charge, or one unrefunded for a shipped order, or one fully refunded", case.money),
        ("the provider moved money for known orders only, each kind once, in full", case.ledger),
        ("one parcel for a shipped order, none for a canceled or failed one", case.parcels),
        ("a parcel went to the order's address, by its tracking number", case.addresses),
        ("the audit trail explains every state", case.events),
        ("what a client was told was taken is so", case.words),
        ("Temporal ended each order as the record says, and nothing goes on", case.temporal),
        ("each Order's status in Kubernetes equals the record", case.kubernetes),
        ("each edit of an Order is applied or refused in its status", case.edits),
        ("no finalizer is left, and deleted Orders are gone", case.finalizers),
    ]
    return [_judged(text, find()) for text, find in made]


def _judged(text: str, findings: Iterator[Finding]) -> Promise:
    promise = Promise(text)
    for about, wrong in findings:
        promise.held_against += 1
        if wrong:
            promise.broken.append(f"{about}: {wrong}")
    return promise


class _Case:
    """The evidence, and what each promise finds in it."""

    def __init__(self, evidence: Evidence) -> None:
        self._found = evidence

    @cached_property
    def _accepted(self) -> dict[str, Told]:
        return {told.order_id: told for told in self._found.told.values() if told.order_id is not None}

    @cached_property
    def _statuses(self) -> dict[str, OrderStatus]:
        """Of accepted orders that are recorded; others are another promise's matter."""
        return {name: order.status for name, order in self._found.orders.items() if name in self._accepted}

    @cached_property
    def _parcel_of(self) -> dict[str, TakenParcel]:
        return {parcel.order_id: parcel for parcel in self._found.parcels if not parcel.voided}

    def _withdrawn(self, told: Told) -> bool:
        """Whether the Order was deleted before the operator took it up, as may be: then there is no trace of it."""
        order_id = told.order_id or ""
        traces = (
            order_id in self._found.resources,
            of_order(self._found, order_id) is not None,
            any(entry.order_id == order_id for entry in self._found.money),
            any(parcel.order_id == order_id for parcel in self._found.parcels),
        )
        return _did(told, Act.DELETE) and not any(traces)

    def answers(self) -> Iterator[Finding]:
        for name, told in self._found.told.items():
            waiting = [] if told.order_id else ["it was never accepted"]
            if len(told.changes) < len(told.wish.acts):
                waiting.append(f"{told.wish.acts[len(told.changes)][1]} was never answered")
            yield name, "; ".join([*told.problems, *waiting])

    def recorded(self) -> Iterator[Finding]:
        twice = Counter(told.order_id for told in self._found.told.values())
        for order_id, told in self._accepted.items():
            if order_id not in self._found.orders:
                yield order_id, "" if self._withdrawn(told) else "accepted, and not in the record"
            else:
                yield order_id, "" if twice[order_id] == 1 else f"the order of {twice[order_id]} customers"
        # An order may have been started whose customer never heard so.
        asked = {*self._accepted, *self._found.told}
        for order_id in self._found.orders.keys() - asked:
            yield order_id, "in the record, and nobody asked for it"

    def ends(self) -> Iterator[Finding]:
        for order_id, status in self._statuses.items():
            payment = status.payment.status
            if status.step not in _ENDINGS or not status.ended:
                yield order_id, f"still at {status.step}"
            else:
                owed = payment in {PaymentStatus.INIT, PaymentStatus.REFUNDING}
                yield order_id, f"{status.step}, and its payment is still {payment}" if owed else ""

    def steps(self) -> Iterator[Finding]:
        for order_id, status in self._statuses.items():
            events = self._found.events.get(order_id, ())
            told = [event.step for event in events if event.kind in _OF_THE_FLOW or _is_end(event)]
            walked = [Step.RECEIVE, *told, status.step]
            wrong = [f"{a} -> {b}" for a, b in itertools.pairwise(walked) if a != b and b not in _reach(a)]
            yield order_id, ", ".join(wrong)

    def money(self) -> Iterator[Finding]:
        books = Counter((entry.kind, entry.payment_id) for entry in self._found.money)
        for order_id, status in self._statuses.items():
            yield order_id, "; ".join(wrong_money(status, books))

    def ledger(self) -> Iterator[Finding]:
        count = Counter((entry.kind, entry.payment_id) for entry in self._found.money)
        for entry in self._found.money:
            order = self._found.orders.get(entry.order_id)
            if order is None or order.status.payment.id != entry.payment_id:
                yield entry.payment_id, f"{entry.kind} for {entry.order_id}, whose payment it isn't"
            elif (entry.amount, entry.currency) != (order.status.payment.amount, order.status.payment.currency):
                yield entry.payment_id, f"{entry.kind} of {entry.amount}, the order is {order.status.payment.amount}"
            else:
                times = count[entry.kind, entry.payment_id]
                yield entry.payment_id, "" if times == 1 else f"{entry.kind} {times} times"

    def parcels(self) -> Iterator[Finding]:
        parcels = Counter(parcel.order_id for parcel in self._found.parcels if not parcel.voided)
        for order_id, status in self._statuses.items():
            yield order_id, "; ".join(wrong_parcels(order_id, status, parcels))
        for order_id in parcels.keys() - self._found.orders.keys():
            yield order_id, "a parcel of no known order"

    def addresses(self) -> Iterator[Finding]:
        for order_id, parcel in self._parcel_of.items():
            status = self._statuses.get(order_id)
            if status is None or status.step not in SHIPPED or not status.shipments:
                continue
            went = Address.model_validate_json(parcel.address)
            wrong = [] if went == status.address else [f"went to {went.street}, the order says {status.address.street}"]
            if status.shipments[-1].tracking_number != parcel.tracking_number:
                wrong.append(f"is {parcel.tracking_number}, the order says {status.shipments[-1].tracking_number}")
            yield order_id, "; ".join(wrong)

    def events(self) -> Iterator[Finding]:
        for order_id, status in self._statuses.items():
            wrong = list(_unexplained(status, self._found.events.get(order_id, ())))
            told = self._accepted[order_id]
            if told.wish.side is Side.KUBERNETES and _did(told, Act.REDIRECT):
                # The edit may have come before the operator started the order with it.
                wrong = [one for one in wrong if one != _NEW_ADDRESS]
            yield order_id, "; ".join(wrong)

    def words(self) -> Iterator[Finding]:
        for order_id, told in self._accepted.items():
            status = self._statuses.get(order_id)
            for act, outcome, _again in told.changes:
                if outcome is Outcome.TAKEN and status is not None:
                    yield order_id, _not_so(act, status)

    def temporal(self) -> Iterator[Finding]:
        for order_id, status in self._statuses.items():
            workflow = of_order(self._found, order_id)
            expected = "FAILED" if status.step is Step.FAILED else "COMPLETED"
            if workflow is None:
                yield order_id, "recorded, and Temporal knows no workflow for it"
            elif workflow.status != expected:
                yield order_id, f"{status.step} in the record, its workflow is {workflow.status}"
            elif workflow.result is not None and _differs(workflow.result, status):
                yield order_id, _differs(workflow.result, status)
            else:
                refunds = self._found.workflows.get(refund_workflow_id(status.payment.id))
                yield order_id, "" if refunds is None or refunds.status == "COMPLETED" else f"refund {refunds.status}"
        for name, workflow in self._found.workflows.items():
            if workflow.status == "RUNNING":
                yield name, "goes on"
            elif workflow.kind == ORDER_WORKFLOW and order_id_of(name) not in self._found.orders:
                yield name, "a workflow of an order that isn't recorded"

    def kubernetes(self) -> Iterator[Finding]:
        for name, order in self._found.resources.items():
            status = self._statuses.get(name)
            if status is None:
                yield name, "an Order that isn't recorded"
            else:
                yield name, "; ".join(_not_shown(order, status))

    def edits(self) -> Iterator[Finding]:
        for name, order in self._found.resources.items():
            status = self._statuses.get(name)
            if status is None:
                continue
            spec = order["spec"]
            open_edits = {
                "approved": bool(spec.get("approved")) and not status.approved,
                "cancel": bool(spec.get("cancel")) and not status.canceled,
                "address": Address(**spec["address"]) != status.address,
            }
            # A declared cancel that was carried out has the last word.
            carried_out = bool(spec.get("cancel")) and status.canceled
            left = [edit for edit, is_open in open_edits.items() if is_open and not carried_out]
            refused = _condition(order, ConditionType.SPEC_APPLIED) == "False"
            yield name, f"{', '.join(left)}: neither applied nor refused" if left and not refused else ""

    def finalizers(self) -> Iterator[Finding]:
        for order_id, told in self._accepted.items():
            if told.wish.side is not Side.KUBERNETES:
                continue
            deleted = _did(told, Act.DELETE)
            order = self._found.resources.get(order_id)
            if order is None:
                yield order_id, "" if deleted else "gone, and nobody deleted it"
            elif deleted:
                yield order_id, "deleted, and still there"
            else:
                held, labels = order["metadata"].get("finalizers"), order["metadata"].get("labels", {})
                yield order_id, f"held by {held}" if held else "" if ENDED_LABEL in labels else "not marked as ended"


def _did(told: Told, act: Act) -> bool:
    return any(done is act and outcome is not Outcome.UNKNOWN for done, outcome, _again in told.changes)


def _is_end(event: RecordedEvent) -> bool:
    """Whether it tells of the order's own end; a shipment may be canceled and the order go on."""
    return _ENDINGS.get(event.step) is event.kind


def _reach(step: Step) -> set[Step]:
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
    if status.step in _ENDINGS and ends != [_ENDINGS[status.step]]:
        yield f"{status.step}, and its events tell of {ends or 'no end'}"
    if status.step is Step.CANCELED and not kinds & {EventKind.CANCEL_REQUESTED, EventKind.REVIEW_TIMED_OUT}:
        yield "canceled, and no event says at whose request"
    if status.approved and EventKind.APPROVED not in kinds:
        yield "approved, and no event says so"
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


def _differs(result: OrderStatus, status: OrderStatus) -> str:
    names = ("step", "approved", "canceled", "cancel_reason", "address", "dispatch_failed_reason")
    return ", ".join(
        f"{name} is {getattr(status, name)} in the record, {getattr(result, name)} in its workflow"
        for name in names
        if getattr(result, name) != getattr(status, name)
    )


def _not_shown(order: dict[str, Any] | Any, status: OrderStatus) -> Iterator[str]:
    shown = order.get("status", {})
    payment = {"id": status.payment.id, "amount": str(status.payment.amount), "currency": status.payment.currency}
    if status.payment.status is not None:
        payment["status"] = status.payment.status
    tracking = next((one.tracking_number for one in reversed(status.shipments) if one.tracking_number), None)
    expected = {
        "orderId": status.order_id,
        "workflowId": order_workflow_id(status.order_id),
        "runId": status.run_id,
        "step": status.step,
        "approved": status.approved,
        "canceled": status.canceled,
        "ended": True,
        "cancelReason": status.cancel_reason,
        "dispatchFailedReason": status.dispatch_failed_reason,
        "payment": payment,
        "trackingNumber": tracking,
        "observedGeneration": order["metadata"]["generation"],
        "lastError": status.last_error,
        "retries": dict(status.retries) or None,
    }
    for name, value in expected.items():
        if shown.get(name) != value:
            yield f"{name} is {shown.get(name)}, the record says {value}"
    ready = status.step in SHIPPED or (status.step is Step.CANCELED and bool(order["spec"].get("cancel")))
    for kind, holds in {
        ConditionType.READY: ready,
        ConditionType.STALLED: not ready,
        ConditionType.RECONCILING: False,
    }.items():
        if _condition(order, kind) != str(holds):
            yield f"{kind} is {_condition(order, kind)} of an order that is {status.step}"


def _condition(order: Any, kind: str) -> str | None:
    return next((told["status"] for told in order["status"].get("conditions", ()) if told["type"] == kind), None)
