"""What holds of an Order, by condition. Pure; `status` calls it. The table is in product section 3.

Every Order has Accepted (once it is known), Ready, Reconciling and Stalled; exactly one of the last
three is true. A recorded one also has Approved, Charged and Shipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orderfleet.client import Closed
from orderfleet.contracts.record import RecordedOrder
from orderfleet.contracts.status import DeclarationOutcome, OrderStatus, PaymentStatus, Step
from orderfleet.operator.conditions import ConditionType, Reason, Verdict
from orderfleet.operator.known import Known, Part
from orderfleet.operator.order_input import unmet
from orderfleet.operator.resource import OrderResource

_AWAY: Final = {Part.TEMPORAL: Reason.TEMPORAL_UNAVAILABLE, Part.STORE: Reason.STORE_UNAVAILABLE}

_ON_THE_WAY: Final = {
    Step.RECEIVE: (Reason.RECEIVING, "being recorded"),
    Step.VALIDATE: (Reason.VALIDATING, "being checked"),
    Step.MANUAL_REVIEW: (Reason.AWAITING_REVIEW, "waiting for a person to set spec.approved to true"),
    Step.CHARGE: (Reason.CHARGING, "being charged"),
    Step.SHIPPING: (Reason.SHIPPING, "being packed and handed to the carrier"),
    Step.SHIPPED: (Reason.AWAITING_DELIVERY, "waiting for the carrier to confirm the delivery"),
}

_UNCHARGED: Final = {
    None: (Reason.NOT_CHARGED, "nothing was charged"),
    PaymentStatus.INIT: (Reason.NOT_CHARGED, "nothing was charged"),
    PaymentStatus.FAILED: (Reason.CHARGE_REFUSED, "the payment provider refused the charge"),
    PaymentStatus.VOIDED: (Reason.VOIDED, "the payment is voided"),
    PaymentStatus.REFUNDING: (Reason.REFUNDING, "the refund is owed and on its way"),
    PaymentStatus.REFUNDED: (Reason.REFUNDED, "the charge is given back"),
}


def unread(problem: str) -> Iterator[Verdict]:
    """Verdicts of an Order that this operator can't read."""
    yield Verdict(ConditionType.ACCEPTED, False, Reason.UNREADABLE, problem)
    yield from _stalled(Reason.UNREADABLE, problem)


def verdicts(order: OrderResource, known: Known) -> Iterator[Verdict]:
    """Verdicts of an Order, in the order in which they are shown."""
    if known.taken is not None:
        yield Verdict(ConditionType.ACCEPTED, False, Reason.CONFLICT, known.taken)
        yield from _stalled(Reason.CONFLICT, known.taken)
        return
    record = known.record
    if record is None and known.workflow_closed is not None:
        why = unrecorded(known.workflow_closed)
        yield Verdict(ConditionType.ACCEPTED, False, Reason.FAILED, why)
        yield from _stalled(Reason.FAILED, why)
        return
    if record is not None or known.workflow is not None:
        adopted = record is not None and record.owner_uid != order.metadata.uid
        how = (Reason.ADOPTED, "goes on with the order that the Order of this name had started before")
        yield Verdict(ConditionType.ACCEPTED, True, *(how if adopted else (Reason.STARTED, "the workflow is started")))
    if record is not None:
        yield from _progress(record.status)
        yield from _spec_applied(order, record)
    yield from _whole(order, known)


def unrecorded(closed: Closed) -> str:
    """What became of an order whose workflow ended before it recorded anything."""
    if closed.how == "failed":
        return f"its workflow failed before the order was recorded: {closed.reason}"
    return f"its workflow was {closed.how} before the order was recorded"


def _whole(order: OrderResource, known: Known) -> Iterator[Verdict]:
    """Ready, Reconciling and Stalled."""
    status = known.record.status if known.record else None
    if status is not None and status.ended:
        yield from _end(order, status)
    elif known.away is not None:
        yield from _reconciling(_AWAY[known.away], f"{known.away} does not answer; the operator keeps trying")
    elif known.workflow_missing:
        yield from _reconciling(Reason.WORKFLOW_MISSING, "Temporal knows no running workflow of this order")
    else:
        yield from _reconciling(*_ON_THE_WAY[status.step if status else Step.RECEIVE])


def _end(order: OrderResource, status: OrderStatus) -> Iterator[Verdict]:
    if status.step is Step.FAILED:
        yield from _stalled(Reason.FAILED, status.last_error or status.dispatch_failed_reason or "the order failed")
    elif status.step is Step.CANCELED:
        why = status.cancel_reason or "the order was canceled"
        yield from (_ready if order.spec.cancel else _stalled)(Reason.CANCELED, why)
    elif status.step is Step.DELIVERED:
        yield from _ready(Reason.DELIVERED, "the carrier confirmed the delivery")
    else:
        yield from _ready(Reason.SHIPPED, "the package is on the way")


def _ready(reason: Reason, message: str) -> Iterator[Verdict]:
    return _one_of(ConditionType.READY, reason, message)


def _reconciling(reason: Reason, message: str) -> Iterator[Verdict]:
    return _one_of(ConditionType.RECONCILING, reason, message)


def _stalled(reason: Reason, message: str) -> Iterator[Verdict]:
    return _one_of(ConditionType.STALLED, reason, message)


def _one_of(which: ConditionType, reason: Reason, message: str) -> Iterator[Verdict]:
    for kind in (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED):
        yield Verdict(kind, kind is which, reason, message)


def _progress(status: OrderStatus) -> Iterator[Verdict]:
    if status.approved:
        yield Verdict(ConditionType.APPROVED, True, Reason.APPROVED, "the order is approved")
    elif status.ended:
        yield Verdict(ConditionType.APPROVED, False, Reason.NOT_APPROVED, "the order ended without an approval")
    else:
        yield Verdict(ConditionType.APPROVED, False, Reason.AWAITING_REVIEW, "the order is not approved yet")

    payment = status.payment
    if payment.status is PaymentStatus.CHARGED:
        charged = f"{payment.amount} {payment.currency} is charged"
        yield Verdict(ConditionType.CHARGED, True, Reason.CHARGED, charged)
    else:
        yield Verdict(ConditionType.CHARGED, False, *_UNCHARGED[payment.status])

    if status.step in {Step.SHIPPED, Step.DELIVERED}:
        shipment = status.shipments[-1] if status.shipments else None
        carried = f"by {shipment.carrier} as {shipment.tracking_number}" if shipment and shipment.carrier else ""
        yield Verdict(ConditionType.SHIPPED, True, Reason.SHIPPED, f"the package is on the way {carried}".strip())
    elif status.dispatch_failed_reason:
        yield Verdict(ConditionType.SHIPPED, False, Reason.DISPATCH_FAILED, status.dispatch_failed_reason)
    else:
        yield Verdict(ConditionType.SHIPPED, False, Reason.NOT_SHIPPED, "the package is not dispatched")


def _spec_applied(order: OrderResource, record: RecordedOrder) -> Iterator[Verdict]:
    status, declared = record.status, record.status.declared
    heard = declared.owner_uid == order.metadata.uid and declared.generation >= order.metadata.generation
    if status.ended and not heard and not order.deleting:
        # The workflow ended before it heard of the edit: what it can't take any more is refused here.
        missing = unmet(
            order,
            approved=status.approved,
            canceled=status.canceled,
            same_address=order.spec.address == status.address,
        )
        if missing:
            late = f"{', '.join(missing)}: the order has already ended"
            yield Verdict(ConditionType.SPEC_APPLIED, False, Reason.EDIT_REFUSED, late)
            return
    if declared.owner_uid == order.metadata.uid and declared.outcome is DeclarationOutcome.REFUSED:
        yield Verdict(ConditionType.SPEC_APPLIED, False, Reason.EDIT_REFUSED, declared.reason)
    elif order.status.condition(ConditionType.SPEC_APPLIED) is not None:
        yield Verdict(ConditionType.SPEC_APPLIED, True, Reason.APPLIED, "the last edit was taken")
