"""Types, reasons and messages of an Order's conditions, computed from the Order and its observed state. Pure.

Ready, Reconciling and Stalled follow kstatus (github.com/kubernetes-sigs/cli-utils, pkg/kstatus), so
`kubectl wait`, Argo CD and Flux understand an Order. The others show its progress.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final

from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.status import Hold, HoldName, OrderStatus, PaymentStatus, PendingCustomer, SpecOutcome, Step
from orderfleet.operator.cache import Dependency, ObservedState
from orderfleet.operator.crd import Condition, OrderResource, OrderResourceStatus, unmet_fields
from orderfleet.services.errors import Closed


class ConditionType(StrEnum):
    """Types of an Order's conditions."""

    READY = "Ready"
    """The order reached its declared end: shipped (or delivered), or canceled by `spec.cancel`."""
    RECONCILING = "Reconciling"
    """The order is in progress, or waits for a person, the carrier or an unavailable service."""
    STALLED = "Stalled"
    """The order can't reach its declared end: it failed, conflicts, or was canceled without `spec.cancel`."""
    ACCEPTED = "Accepted"
    """The order's workflow is started and belongs to this Order."""
    APPROVED = "Approved"
    """The order is approved, by a person or by its review terms."""
    CHARGED = "Charged"
    """The payment is charged and not refunded."""
    SHIPPED = "Shipped"
    """The package is dispatched."""
    HELD = "Held"
    """The order waits before its dispatch; absent before the first hold."""
    SPEC_APPLIED = "SpecApplied"
    """False after a change of the spec was rejected; absent before the first rejection."""


class Reason(StrEnum):
    """Reasons of conditions, and of the Kubernetes Events about them."""

    STARTED = "Started"
    """The workflow was started."""
    ADOPTED = "Adopted"
    """An earlier Order of this name, with the same content, started the order."""
    CONFLICT = "Conflict"
    """The order id belongs to another order."""
    INVALID_SPEC = "InvalidSpec"
    """The operator can't read the spec: the Order was stored under another version of the CRD."""
    TEMPORAL_UNAVAILABLE = "TemporalUnavailable"
    """Temporal does not respond; the operator retries."""
    STORE_UNAVAILABLE = "StoreUnavailable"
    """Postgres does not respond; the operator retries."""
    WORKFLOW_MISSING = "WorkflowMissing"
    """The order has not ended in the order store, and Temporal has no running workflow of it."""

    RECEIVING = "Receiving"
    """The order is being recorded."""
    VALIDATING = "Validating"
    """The order is being validated."""
    AWAITING_REVIEW = "AwaitingReview"
    """The order waits for the approval of a person."""
    CHARGING = "Charging"
    """The payment is being charged."""
    AWAITING_CUSTOMER = "AwaitingCustomer"
    """The payment waits for the customer; the message says where and until when."""
    SHIPPING = "Shipping"
    """The package is being prepared and handed to the carrier."""
    PAYMENT_REQUIRED = "PaymentRequired"
    """The payment provider refused to capture the payment; the order waits for another method or another try."""
    CAPTURE_UNKNOWN = "CaptureUnknown"
    """The payment provider did not answer whether it captured the payment; the order asks again by itself."""
    HOLD_ENDED = "HoldEnded"
    """The order waits no longer before its dispatch."""
    AWAITING_DELIVERY = "AwaitingDelivery"
    """The order waits for the carrier to confirm the delivery."""
    SHIPPED = "Shipped"
    """The package is dispatched."""
    DELIVERED = "Delivered"
    """The carrier confirmed the delivery."""
    CANCELED = "Canceled"
    """Canceled; the message says why."""
    FAILED = "Failed"
    """Failed; the message says why."""

    APPROVED = "Approved"
    """The order is approved."""
    NOT_APPROVED = "NotApproved"
    """The order ended without an approval."""
    CHARGED = "Charged"
    """The payment is charged."""
    NOT_CHARGED = "NotCharged"
    """Nothing is charged."""
    CHARGE_DECLINED = "ChargeDeclined"
    """The payment provider declined the charge."""
    AUTHORIZED = "Authorized"
    """The payment is authorized, and captured before the dispatch."""
    VOIDING = "Voiding"
    """The order has ended, and its payment is voided once the payment provider can."""
    VOIDED = "Voided"
    """The payment is voided and can't be charged."""
    REFUNDING = "Refunding"
    """A refund is pending."""
    REFUNDED = "Refunded"
    """The charge is refunded."""
    NOT_SHIPPED = "NotShipped"
    """The package is not dispatched."""
    DISPATCH_FAILED = "DispatchFailed"
    """The carrier rejected the package; the message says why."""

    APPLIED = "Applied"
    """The last change of the spec was applied."""
    SPEC_CHANGE_REJECTED = "SpecChangeRejected"
    """A part of the last change of the spec was rejected; the message names the field and the cause."""


@dataclass(frozen=True)
class ConditionSpec:
    """A condition without its transition time and observed generation."""

    type: ConditionType
    holds: bool
    reason: Reason
    message: str = ""


def build_conditions(
    specs: Iterable[ConditionSpec], before: OrderResourceStatus, *, generation: int | None, now: datetime
) -> tuple[Condition, ...]:
    """Build the conditions of a status; `lastTransitionTime` changes only with a condition's status.

    Args:
        specs: the conditions.
        before: the status that is replaced.
        generation: the observed generation.
        now: transition time of conditions whose status changes.
    """

    def build(spec: ConditionSpec) -> Condition:
        status = "True" if spec.holds else "False"
        last = before.condition(spec.type)
        unchanged = last is not None and last.status == status
        return Condition(
            type=spec.type,
            status=status,
            reason=spec.reason,
            message=spec.message,
            last_transition_time=last.last_transition_time if last and unchanged else f"{now:%Y-%m-%dT%H:%M:%SZ}",
            observed_generation=generation,
        )

    return tuple(map(build, specs))


_UNAVAILABLE: Final = {Dependency.TEMPORAL: Reason.TEMPORAL_UNAVAILABLE, Dependency.STORE: Reason.STORE_UNAVAILABLE}


_IN_PROGRESS: Final = {
    Step.RECEIVE: (Reason.RECEIVING, "being recorded"),
    Step.VALIDATE: (Reason.VALIDATING, "being validated"),
    Step.MANUAL_REVIEW: (Reason.AWAITING_REVIEW, "waiting for a person to set spec.approved to true"),
    Step.CHARGE: (Reason.CHARGING, "being charged"),
    Step.SHIPPING: (Reason.SHIPPING, "being prepared and handed to the carrier"),
    Step.SHIPPED: (Reason.AWAITING_DELIVERY, "waiting for the carrier to confirm the delivery"),
}


_HOLDS: Final = {
    HoldName.PAYMENT_REQUIRED: Reason.PAYMENT_REQUIRED,
    HoldName.CAPTURE_UNKNOWN: Reason.CAPTURE_UNKNOWN,
}


_CHARGED: Final = {PaymentStatus.CHARGED, PaymentStatus.PARTIALLY_REFUNDED}
_NOT_CHARGED: Final = {
    None: (Reason.NOT_CHARGED, "nothing was charged"),
    PaymentStatus.INIT: (Reason.NOT_CHARGED, "nothing was charged"),
    PaymentStatus.PENDING: (Reason.AWAITING_CUSTOMER, "the payment waits for the customer"),
    PaymentStatus.AUTHORIZED: (Reason.AUTHORIZED, "the payment is authorized, and captured before the dispatch"),
    PaymentStatus.PARTIALLY_CAPTURED: (Reason.AUTHORIZED, "a part of the payment is captured"),
    PaymentStatus.FAILED: (Reason.CHARGE_DECLINED, "the payment provider declined the charge"),
    PaymentStatus.VOIDED: (Reason.VOIDED, "the payment is voided"),
    PaymentStatus.REFUNDING: (Reason.REFUNDING, "a refund is pending"),
    PaymentStatus.REFUNDED: (Reason.REFUNDED, "the charge is refunded"),
}


def invalid_spec_conditions(problem: str) -> Iterator[ConditionSpec]:
    """Conditions of an Order whose spec the operator can't read."""
    yield ConditionSpec(ConditionType.ACCEPTED, False, Reason.INVALID_SPEC, problem)
    yield from _stalled(Reason.INVALID_SPEC, problem)


def compute_conditions(order: OrderResource, observed: ObservedState) -> Iterator[ConditionSpec]:
    """Conditions of an Order, in the order in which they are written."""
    if observed.conflict is not None:
        yield ConditionSpec(ConditionType.ACCEPTED, False, Reason.CONFLICT, observed.conflict)
        yield from _stalled(Reason.CONFLICT, observed.conflict)
        return
    record = observed.record
    if record is None and observed.workflow_closed is not None:
        why = describe_unrecorded_end(observed.workflow_closed)
        yield ConditionSpec(ConditionType.ACCEPTED, False, Reason.FAILED, why)
        yield from _stalled(Reason.FAILED, why)
        return
    if record is not None or observed.workflow is not None:
        adopted = record is not None and record.owner_uid != order.metadata.uid
        how = (Reason.ADOPTED, "an earlier Order of this name started the order, and it continues")
        yield ConditionSpec(
            ConditionType.ACCEPTED, True, *(how if adopted else (Reason.STARTED, "the workflow is started"))
        )
    if record is not None:
        yield from _progress(record.status)
        yield from _held(order, record.status)
        yield from _spec_applied(order, record)
    yield from _summary(order, observed)


def describe_unrecorded_end(closed: Closed) -> str:
    """Message for an order whose workflow ended before it recorded the order."""
    if closed.how == "failed":
        return f"its workflow failed before the order was recorded: {closed.reason}"
    return f"its workflow was {closed.how} before the order was recorded"


def _summary(order: OrderResource, observed: ObservedState) -> Iterator[ConditionSpec]:
    """Ready, Reconciling and Stalled."""
    status = observed.record.status if observed.record else None
    if status is not None and status.ended:
        yield from _final(order, status)
    elif observed.unavailable is not None:
        yield from _reconciling(
            _UNAVAILABLE[observed.unavailable], f"{observed.unavailable} does not respond; the operator retries"
        )
    elif observed.workflow_missing:
        yield from _reconciling(Reason.WORKFLOW_MISSING, "Temporal has no running workflow of this order")
    elif status is not None and status.hold is not None:
        yield from _reconciling(_HOLDS[status.hold.name], _describe_hold(status.hold))
    elif status is not None and status.payment.pending is not None:
        yield from _reconciling(Reason.AWAITING_CUSTOMER, _describe_pending(status.payment.pending))
    else:
        yield from _reconciling(*_IN_PROGRESS[status.step if status else Step.RECEIVE])


def _describe_hold(hold: Hold) -> str:
    return f"{hold.reason}; {hold.remedy}; the order is canceled at {hold.until:%Y-%m-%dT%H:%M:%SZ}"


def _describe_pending(pending: PendingCustomer) -> str:
    where = f" at {pending.url}" if pending.url else ""
    until = f" until {pending.until:%Y-%m-%dT%H:%M:%SZ}" if pending.until else ""
    return f"the payment waits for the customer{where}{until}"


def _final(order: OrderResource, status: OrderStatus) -> Iterator[ConditionSpec]:
    if status.step is Step.FAILED:
        yield from _stalled(Reason.FAILED, status.last_error or status.dispatch_failed_reason or "the order failed")
    elif status.step is Step.CANCELED:
        why = status.cancel_reason or "the order was canceled"
        yield from (_ready if order.spec.cancel else _stalled)(Reason.CANCELED, why)
    elif status.step is Step.DELIVERED:
        yield from _ready(Reason.DELIVERED, "the carrier confirmed the delivery")
    else:
        yield from _ready(Reason.SHIPPED, "the package is on the way")


def _one_of(true_one: ConditionType, reason: Reason, message: str) -> Iterator[ConditionSpec]:
    for kind in (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED):
        yield ConditionSpec(kind, kind is true_one, reason, message)


_ready = partial(_one_of, ConditionType.READY)
_reconciling = partial(_one_of, ConditionType.RECONCILING)
_stalled = partial(_one_of, ConditionType.STALLED)


def _progress(status: OrderStatus) -> Iterator[ConditionSpec]:
    if status.approved:
        yield ConditionSpec(ConditionType.APPROVED, True, Reason.APPROVED, "the order is approved")
    elif status.ended:
        yield ConditionSpec(ConditionType.APPROVED, False, Reason.NOT_APPROVED, "the order ended without an approval")
    else:
        yield ConditionSpec(ConditionType.APPROVED, False, Reason.AWAITING_REVIEW, "the order is not approved yet")

    payment = status.payment
    if payment.status in _CHARGED:
        charged = f"{payment.amount} {payment.currency} is charged"
        yield ConditionSpec(ConditionType.CHARGED, True, Reason.CHARGED, charged)
    elif payment.pending is not None:
        message = _describe_pending(payment.pending)
        yield ConditionSpec(ConditionType.CHARGED, False, Reason.AWAITING_CUSTOMER, message)
    elif status.ended and not status.settled and payment.status is not PaymentStatus.REFUNDING:
        message = "the payment is voided once the payment provider can"
        yield ConditionSpec(ConditionType.CHARGED, False, Reason.VOIDING, message)
    else:
        yield ConditionSpec(ConditionType.CHARGED, False, *_NOT_CHARGED[payment.status])

    if status.step in {Step.SHIPPED, Step.DELIVERED}:
        shipment = status.shipments[-1] if status.shipments else None
        carried = f"by {shipment.carrier} as {shipment.tracking_number}" if shipment and shipment.carrier else ""
        yield ConditionSpec(ConditionType.SHIPPED, True, Reason.SHIPPED, f"the package is on the way {carried}".strip())
    elif status.dispatch_failed_reason:
        yield ConditionSpec(ConditionType.SHIPPED, False, Reason.DISPATCH_FAILED, status.dispatch_failed_reason)
    else:
        yield ConditionSpec(ConditionType.SHIPPED, False, Reason.NOT_SHIPPED, "the package is not dispatched")


def _held(order: OrderResource, status: OrderStatus) -> Iterator[ConditionSpec]:
    if status.hold is not None:
        message = _describe_hold(status.hold)
        yield ConditionSpec(ConditionType.HELD, True, _HOLDS[status.hold.name], message)
    elif order.status.condition(ConditionType.HELD) is not None:
        yield ConditionSpec(ConditionType.HELD, False, Reason.HOLD_ENDED, "the order waits no longer")


def _spec_applied(order: OrderResource, record: RecordedOrder) -> Iterator[ConditionSpec]:
    status, declared = record.status, record.status.declared
    is_processed = declared.owner_uid == order.metadata.uid and declared.generation >= order.metadata.generation
    if status.ended and not is_processed and not order.deleting:
        # The workflow ended before it read the change, so the operator rejects what was not applied.
        missing = unmet_fields(order.spec, status)
        if missing:
            late = f"{', '.join(missing)}: the order has already ended"
            yield ConditionSpec(ConditionType.SPEC_APPLIED, False, Reason.SPEC_CHANGE_REJECTED, late)
            return
    if declared.owner_uid == order.metadata.uid and declared.outcome is SpecOutcome.REJECTED:
        yield ConditionSpec(ConditionType.SPEC_APPLIED, False, Reason.SPEC_CHANGE_REJECTED, declared.reason)
    elif order.status.condition(ConditionType.SPEC_APPLIED) is not None:
        yield ConditionSpec(ConditionType.SPEC_APPLIED, True, Reason.APPLIED, "the last change was applied")
