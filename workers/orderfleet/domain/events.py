"""What workflows tell the record: the order's progress and its audit events.

A workflow numbers its records; the store applies a record only when its number is new, so a
retried or late attempt never overwrites what came after it. Events carry a key that is unique in
their order, so an event told twice stands once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from orderfleet.domain.base import Contract
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, SpecResult, Step


class EventKind(StrEnum):
    """What an audit event tells."""

    RECEIVED = "received"
    VALIDATED = "validated"
    REVIEW_STARTED = "review_started"
    REVIEW_TIMED_OUT = "review_timed_out"
    APPROVED = "approved"
    CHARGE_STARTED = "charge_started"
    CHARGED = "charged"
    CHARGE_REFUSED = "charge_refused"
    CHARGE_UNKNOWN = "charge_unknown"
    PAYMENT_VOIDED = "payment_voided"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    ADDRESS_CHANGED = "address_changed"
    CANCEL_REQUESTED = "cancel_requested"
    CHANGE_REJECTED = "change_rejected"
    SPEC_APPLIED = "spec_applied"
    PACKAGE_PREPARED = "package_prepared"
    DISPATCHED = "dispatched"
    DISPATCH_FAILED = "dispatch_failed"
    BOOKING_VOIDED = "booking_voided"
    ATTEMPT_FAILED = "attempt_failed"
    WORKFLOW_CLOSED_EXTERNALLY = "workflow_closed_externally"
    WORKFLOW_ID_CONFLICT = "workflow_id_conflict"
    """A workflow of another origin has an id that the order needs."""
    SHIPPED = "shipped"
    PARCEL_BOOKED = "parcel_booked"
    """By the carrier's own word, as is the next."""
    PARCEL_IN_TRANSIT = "parcel_in_transit"
    DELIVERED = "delivered"
    DELIVERY_UNCONFIRMED = "delivery_unconfirmed"
    CANCELED = "canceled"
    FAILED = "failed"


class AuditEvent(Contract):
    """One line of the audit trail."""

    key: str
    """Unique in its order, the same on every retry."""
    kind: EventKind
    step: Step
    at: datetime
    detail: dict[str, Any] = Field(default_factory=dict)


class Progress(Contract):
    """One numbered record of an order's state, with the events since the last one."""

    seq: int
    """Rising; a number that is not above the record's changes nothing but adds missing events."""
    step: Step
    approved: bool = False
    canceled: bool = False
    cancel_reason: str | None = None
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    address: Address | None = None
    """None leaves it as it is."""
    retries: dict[str, int] = Field(default_factory=dict)
    declared: SpecResult = SpecResult()
    completed_at: datetime | None = None
    events: tuple[AuditEvent, ...] = ()


class RecordedEvent(Contract):
    """An audit event as it is read back."""

    id: int = Field(description="Rising in the order the events were recorded; `after` goes on from it.")
    kind: EventKind
    step: Step = Field(description="Where the order stood.")
    at: datetime
    detail: dict[str, Any] = Field(default_factory=dict, description="What else there is to say, by the kind.")


class RecordedOrder(Contract):
    """An order as the record knows it: whose it is, and its view."""

    order_id: str
    owner: str
    """`namespace/name` of the Order; empty for an order without one."""
    owner_uid: str
    content_hash: str
    version: int
    """Rises with every change of the order."""
    status: OrderStatus
