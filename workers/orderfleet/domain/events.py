"""What workflows write to the order store: the progress of an order and its audit events.

A workflow numbers its progress, and the store applies only a number above the last one, so a retried or late attempt
never overwrites newer progress. An event has a key that is unique in its order, so a repeated event is stored once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from orderfleet.domain.base import Contract
from orderfleet.domain.ledger import EntryKind, PaymentEntry
from orderfleet.domain.money import to_decimal
from orderfleet.domain.order import Address
from orderfleet.domain.status import Hold, OrderStatus, PendingCustomer, SpecResult, Step


class EventKind(StrEnum):
    """Kinds of audit events."""

    RECEIVED = "received"
    VALIDATED = "validated"
    REVIEW_STARTED = "review_started"
    REVIEW_TIMED_OUT = "review_timed_out"
    APPROVED = "approved"
    CHARGE_STARTED = "charge_started"
    CHARGED = "charged"
    CHARGE_REFUSED = "charge_refused"
    CHARGE_UNKNOWN = "charge_unknown"
    AUTHORIZED = "authorized"
    PAYMENT_PENDING = "payment_pending"
    """The charge or the authorization waits for the customer."""
    CAPTURED = "captured"
    CAPTURE_REFUSED = "capture_refused"
    CAPTURE_UNKNOWN = "capture_unknown"
    RELEASED = "released"
    """An authorization ended at the provider: it lapsed, or was released there."""
    HELD = "held"
    HOLD_ENDED = "hold_ended"
    PAYMENT_RETRIED = "payment_retried"
    PAYMENT_VOIDED = "payment_voided"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    """The payment provider refused it permanently; its amount can be refunded again."""
    CHARGED_BACK = "charged_back"
    """The provider withdrew the money for a dispute; the next one: it returned it."""
    CHARGE_BACK_REVERSED = "charge_back_reversed"
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
    """A workflow of another client has an id that the order needs."""
    SHIPPED = "shipped"
    PARCEL_BOOKED = "parcel_booked"
    """Reported by the carrier, like the next one."""
    PARCEL_IN_TRANSIT = "parcel_in_transit"
    DELIVERED = "delivered"
    DELIVERY_UNCONFIRMED = "delivery_unconfirmed"
    CANCELED = "canceled"
    FAILED = "failed"


class AuditEvent(Contract):
    """One event of the audit trail."""

    key: str
    """Unique in its order, and the same on every retry."""
    kind: EventKind
    step: Step
    at: datetime
    detail: dict[str, Any] = Field(default_factory=dict)


_EVENT_OF: Final = {
    EntryKind.AUTHORIZED: EventKind.AUTHORIZED,
    EntryKind.CAPTURED: EventKind.CAPTURED,
    EntryKind.RELEASED: EventKind.RELEASED,
    EntryKind.VOIDED: EventKind.PAYMENT_VOIDED,
    EntryKind.REFUNDED: EventKind.REFUNDED,
    EntryKind.REFUND_REVERSED: EventKind.REFUND_FAILED,
    EntryKind.CHARGED_BACK: EventKind.CHARGED_BACK,
    EntryKind.CHARGE_BACK_REVERSED: EventKind.CHARGE_BACK_REVERSED,
}


def reported_event(payment_id: str, entry: PaymentEntry) -> AuditEvent:
    """The event of an entry that a webhook or a reconciliation reported; the same one for both."""
    detail = {
        "payment": payment_id,
        "amount": str(to_decimal(entry.amount, entry.currency)),
        "by": entry.source,
        **({"reference": entry.reference} if entry.reference else {}),
    }
    key = f"provider-{entry.kind}-{entry.key}"
    return AuditEvent(key=key, kind=_EVENT_OF[entry.kind], step=Step.CHARGE, at=entry.at, detail=detail)


class Progress(Contract):
    """One numbered write of an order's state, with the events since the last one."""

    seq: int
    """Ascending; a number that is not above the stored one adds missing events and changes nothing else."""
    step: Step
    approved: bool = False
    canceled: bool = False
    cancel_reason: str | None = None
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    address: Address | None = None
    """None leaves the address unchanged."""
    retries: dict[str, int] = Field(default_factory=dict)
    declared: SpecResult = SpecResult()
    completed_at: datetime | None = None
    hold: Hold | None = None
    payment_pending: PendingCustomer | None = None
    events: tuple[AuditEvent, ...] = ()


class RecordedEvent(Contract):
    """An audit event in the database."""

    id: int = Field(description="Ascending in the order of recording; `after` takes it.")
    kind: EventKind
    step: Step = Field(description="Step of the order at the event.")
    at: datetime
    detail: dict[str, Any] = Field(default_factory=dict, description="Further fields, which depend on the kind.")


class RecordedOrder(Contract):
    """An order in the database: its owner and its status."""

    order_id: str
    owner: str
    """`namespace/name` of the Order; empty for an order without one."""
    owner_uid: str
    content_hash: str
    version: int
    """Increases with every change of the order."""
    payment_unshown: bool = False
    """Whether the payment changed after the order's end and its Order may not show it; only the change feed knows."""
    status: OrderStatus
