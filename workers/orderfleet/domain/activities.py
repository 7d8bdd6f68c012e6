"""Inputs and results of the activities, one pair per step.

Every input names its order, so that one interceptor can record a failed attempt of any step. Every result has the
number of the attempt that succeeded.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from orderfleet.domain import names
from orderfleet.domain.base import Contract
from orderfleet.domain.events import AuditEvent, EventKind, Progress
from orderfleet.domain.ledger import IntentStatus, PaymentRecord, RefundDecision, RefundRequest
from orderfleet.domain.order import Address, CaptureMode, Customer, Item, OrderInput
from orderfleet.domain.payment import PaymentIntent, VoidOutcome
from orderfleet.domain.policy import AddressChecks
from orderfleet.domain.shipment import Booking, BookingState, Parcel, ShipmentRecord
from orderfleet.domain.status import PaymentStatus, PendingCustomer, ShipmentStatus, Step


class StepInput(Contract):
    """Input of every step."""

    order_id: str
    earlier_attempts: int = 0
    """Attempts that failed before an outage of the store. The step is scheduled again after it, and Temporal's
    count begins at 1."""


class StepResult(Contract):
    """Result of every step."""

    attempt: int = 1
    """The attempt that succeeded, from 1, counted with those before an outage."""


class ReceiveInput(StepInput):
    """Record the order."""

    order: OrderInput
    first_run_id: str
    started_at: datetime
    progress: Progress


class ValidateInput(StepInput):
    """Check the order; `progress` is recorded when it is valid."""

    order: OrderInput
    progress: Progress


class ValidateResult(StepResult):
    """How the order's address was checked, if its policy does not say; later addresses are checked in the same way."""

    address_checks: AddressChecks | None = None


class RecordInput(StepInput):
    """Record progress."""

    progress: Progress


class ChargeInput(StepInput):
    """Charge or authorize the payment; also ask the provider for the outcome of one that waits for the customer."""

    payment: PaymentIntent
    capture: CaptureMode = CaptureMode.IMMEDIATE
    begin: Progress
    """Recorded with the payment's INIT row, before the call of the provider."""
    done_seq: int
    """Number of the progress that is recorded with CHARGED, which moves the order to shipping."""

    def done(self, now: datetime) -> Progress:
        """The progress that is recorded with CHARGED or AUTHORIZED."""
        payment = self.payment
        kind = EventKind.CHARGED if self.capture is CaptureMode.IMMEDIATE else EventKind.AUTHORIZED
        done = AuditEvent(
            key=kind,
            kind=kind,
            step=Step.SHIPPING,
            at=now,
            detail={"payment": payment.payment_id, "amount": str(payment.decimal_amount)},
        )
        changed = {"seq": self.done_seq, "step": Step.SHIPPING, "payment_pending": None, "events": (done,)}
        return self.begin.model_copy(update=changed)

    def pending(self, pending: PendingCustomer, now: datetime) -> Progress:
        """The progress that is recorded with PENDING.

        Args:
            pending: what the payment waits for.
            now: when the provider answered.
        """
        changed: dict[str, Any] = {"seq": self.done_seq, "payment_pending": pending, "events": ()}
        if self.begin.payment_pending is not None:
            # A look-up: the first answer has the event.
            return self.begin.model_copy(update=changed)
        until = {} if pending.until is None else {"until": pending.until.isoformat()}
        waits = AuditEvent(
            key=EventKind.PAYMENT_PENDING,
            kind=EventKind.PAYMENT_PENDING,
            step=Step.CHARGE,
            at=now,
            detail={"payment": self.payment.payment_id, **until},
        )
        return self.begin.model_copy(update={**changed, "events": (waits,)})


class ChargeResult(StepResult):
    """What the provider answered to a charge or an authorization."""

    status: PaymentStatus = PaymentStatus.CHARGED
    """CHARGED, AUTHORIZED, or PENDING."""
    pending: PendingCustomer | None = None
    """Set with PENDING."""


class CapturePaymentInput(StepInput):
    """Capture the payment before the dispatch, from its latest authorization.

    An authorization that has lapsed, or that was made with another method than the payment's, is renewed first.
    """

    payment: PaymentIntent
    """With the whole amount, and the method that the customer pays with now."""
    event_key: str
    """Key of the event that records the capture."""
    shipment_id: str

    def captured(self, now: datetime) -> AuditEvent:
        """The event that records the capture."""
        return AuditEvent(
            key=self.event_key,
            kind=EventKind.CAPTURED,
            step=Step.SHIPPING,
            at=now,
            detail={
                "shipment": self.shipment_id,
                "payment": self.payment.payment_id,
                "amount": str(self.payment.decimal_amount),
            },
        )


class CapturePaymentResult(StepResult):
    """The payment is captured, by this call or by an earlier one."""

    status: PaymentStatus = PaymentStatus.CHARGED


class VoidInput(StepInput):
    """Make sure that the payment can never charge, and refund its charge."""

    payment: PaymentIntent
    progress: Progress | None = None
    events: tuple[AuditEvent, ...] = ()
    """Recorded instead of progress by a compensation, once the order's own workflow is closed."""


class VoidResult(StepResult):
    """What the void found, and the status of the payment: voided or refunded."""

    outcome: VoidOutcome
    status: PaymentStatus | None
    """None if the payment belongs to another order and is not voided."""


class BeginRefundInput(StepInput):
    """Decide about a refund that a client asked for, and reserve its amount."""

    payment: PaymentIntent
    request: RefundRequest
    pending: AuditEvent
    """Recorded with the reservation."""


class BeginRefundResult(StepResult):
    """The decision about a refund."""

    decision: RefundDecision


class RefundInput(StepInput):
    """Refund what was reserved under the refund's id, or everything that is left."""

    payment: PaymentIntent
    request: RefundRequest = RefundRequest(refund_id=names.ORDER_REFUND)
    pending: AuditEvent
    done: AuditEvent
    failed: AuditEvent | None = None
    """Recorded if the provider refuses, with its reason added to the detail."""
    reserved: bool = False
    """Whether the workflow reserved the amount before."""
    asked_at: datetime | None = None
    """When an earlier activity of this refund may last have asked the provider; None if none can have."""


class RefundStepResult(StepResult):
    """How a refund ended."""

    status: IntentStatus = IntentStatus.DONE
    failure: str = ""
    """Why the provider refused it; empty otherwise."""
    payment: PaymentRecord | None = None
    """The payment afterwards; None for the refund of everything that is left."""


class PrepareInput(StepInput):
    """Prepare the package; the row and the events are recorded with it."""

    shipment: ShipmentRecord
    events: tuple[AuditEvent, ...]


class DispatchInput(StepInput):
    """Book the parcel with the carrier."""

    shipment_attempt: int
    """Number of the shipment in its order, from 1."""
    items: tuple[Item, ...]
    address: Address
    customer: Customer = Customer()
    event_key: str
    """Key of the event that records the booking."""

    @property
    def parcel(self) -> Parcel:
        """The parcel to book."""
        shipment_id = names.shipment_id(self.order_id, self.shipment_attempt)
        return Parcel(**dict(self), shipment_id=shipment_id, attempt=self.shipment_attempt)

    def dispatched(self, booking: Booking, attempt: int, now: datetime) -> tuple[ShipmentRecord, AuditEvent]:
        """The row and the event that record the booking.

        Args:
            booking: the carrier's confirmation.
            attempt: the attempt that succeeded, from 1.
            now: when it was booked.
        """
        parcel, booked = self.parcel, booking.model_dump()
        shipment = ShipmentRecord(
            shipment_id=parcel.shipment_id,
            order_id=self.order_id,
            attempt=parcel.attempt,
            status=ShipmentStatus.DISPATCHED,
            attempts=attempt,
            **booked,
        )
        event = AuditEvent(
            key=self.event_key,
            kind=EventKind.DISPATCHED,
            step=Step.SHIPPING,
            at=now,
            detail={"shipment": parcel.shipment_id, **booked},
        )
        return shipment, event


class DispatchResult(StepResult):
    """The carrier's booking."""

    booking: Booking


class RecordShipmentInput(StepInput):
    """Record a shipment."""

    shipment: ShipmentRecord
    events: tuple[AuditEvent, ...]


class VoidBookingInput(StepInput):
    """Void the booking unless the parcel is dispatched."""

    shipment_attempt: int


class VoidBookingResult(StepResult):
    """What voiding the booking found."""

    state: BookingState
    booking: Booking | None = None


class IdHolder(StrEnum):
    """Which workflow has an id.

    Any client can start a workflow under an id that an order needs. A start that finds its id in use must not assume
    that its own earlier start succeeded; the check compares type, memo and parent.
    """

    NONE = "none"
    OPEN = "open"
    """A running workflow of this order."""
    COMPLETED = "completed"
    """A completed workflow of this order."""
    ENDED = "ended"
    """A workflow of this order that was terminated, canceled, timed out or failed, so its work is not done."""
    FOREIGN = "foreign"
    """A workflow of another type, memo or parent."""


class CheckWorkflowInput(StepInput):
    """Find out which workflow has an id."""

    workflow_id: str
    workflow_type: str
    """Expected type."""
    memo: dict[str, str] = Field(default_factory=dict)
    """Expected fields of the memo."""
    parent_id: str = ""
    """Expected workflow id of the parent; empty to accept any."""


class CheckWorkflowResult(StepResult):
    """Which workflow has the id."""

    holder: IdHolder
