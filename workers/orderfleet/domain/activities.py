"""Inputs and results of the activities, one pair a step.

Every input names its order and step, so that one interceptor can tell a failed attempt of any of
them; every result says which attempt succeeded.
"""

from __future__ import annotations

from datetime import datetime

from orderfleet.domain.base import Contract
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.order import OrderInput
from orderfleet.domain.payment import PaymentIntent, VoidOutcome
from orderfleet.domain.shipment import Booking, BookingState, Parcel, ShipmentRecord
from orderfleet.domain.status import PaymentStatus


class StepInput(Contract):
    """What every step is given."""

    order_id: str
    earlier_attempts: int = 0
    """Attempts that failed before an outage of the store; the step is scheduled anew after it, and Temporal counts
    anew."""


class StepResult(Contract):
    """What every step answers."""

    attempt: int = 1
    """The attempt that succeeded, from 1, with those before an outage."""


class ReceiveInput(StepInput):
    """Record the order."""

    order: OrderInput
    first_run_id: str
    started_at: datetime
    progress: Progress


class ValidateInput(StepInput):
    """Check the order; `progress` is recorded when it is right."""

    order: OrderInput
    progress: Progress


class RecordInput(StepInput):
    """Record progress, nothing else."""

    progress: Progress


class ChargeInput(StepInput):
    """Charge the payment."""

    payment: PaymentIntent
    begin: Progress
    """Recorded with the payment's INIT row, before the provider is asked."""
    done: Progress
    """Recorded with CHARGED."""


class PaymentResult(StepResult):
    """Where the payment stands now."""

    status: PaymentStatus
    reference: str | None = None


class VoidInput(StepInput):
    """Make sure the payment can never charge; give back what it did."""

    payment: PaymentIntent
    progress: Progress | None = None
    events: tuple[AuditEvent, ...] = ()
    """Told instead of progress when the order's own workflow is gone."""


class VoidResult(StepResult):
    """What the void found, and where the payment stands now: voided, or given back."""

    outcome: VoidOutcome
    status: PaymentStatus | None
    """None when the payment is another order's, and so not ours to void."""


class RefundInput(StepInput):
    """Give the whole charge back."""

    payment: PaymentIntent
    pending: AuditEvent
    done: AuditEvent


class PrepareInput(StepInput):
    """Prepare the package; the row and the events are recorded when it is done."""

    shipment: ShipmentRecord
    events: tuple[AuditEvent, ...]


class DispatchInput(StepInput):
    """Hand the parcel to the carrier."""

    parcel: Parcel
    shipment: ShipmentRecord
    dispatched: AuditEvent


class DispatchResult(StepResult):
    """The carrier's booking."""

    booking: Booking


class RecordShipmentInput(StepInput):
    """Record a shipment, nothing else."""

    shipment: ShipmentRecord
    events: tuple[AuditEvent, ...]


class VoidBookingInput(StepInput):
    """Take the booking back unless the parcel is dispatched."""

    shipment_attempt: int


class VoidBookingResult(StepResult):
    """What voiding the booking found."""

    state: BookingState
    booking: Booking | None = None
