"""The one view of an order that every reader gets: query, record, API, command line, Kubernetes.

Workflows build it from their state, the store from its rows; both must give the same answer.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from orderfleet.domain.base import Contract
from orderfleet.domain.money import Money
from orderfleet.domain.order import Address


class Step(StrEnum):
    """Where an order stands."""

    RECEIVE = "receive"
    VALIDATE = "validate"
    MANUAL_REVIEW = "manual_review"
    CHARGE = "charge"
    SHIPPING = "shipping"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    """Where a payment stands; CHARGED never goes back to INIT."""

    INIT = "INIT"
    CHARGED = "CHARGED"
    FAILED = "FAILED"
    VOIDED = "VOIDED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


def payment_pending(step: Step, payment: PaymentStatus | None) -> bool:
    """Whether the outcome of a charge or a refund is pending for an order at this step.

    A charged payment of a canceled or failed order has a refund pending, also before the refund has begun. The
    function of this name in the database (migration 0002) is the same.
    """
    if payment is PaymentStatus.CHARGED:
        return step in {Step.CANCELED, Step.FAILED}
    return payment in {PaymentStatus.INIT, PaymentStatus.REFUNDING}


class ShipmentStatus(StrEnum):
    """Where a shipment stands."""

    PREPARING = "preparing"
    PREPARED = "prepared"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    CANCELED = "canceled"
    FAILED = "failed"


class PaymentView(Contract):
    """The order's payment as readers see it."""

    id: str
    status: PaymentStatus | None = Field(default=None, description="None until the charge begins.")
    amount: Money
    currency: str


class ShipmentView(Contract):
    """One shipment as readers see it."""

    id: str
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = Field(default=0, description="How often the carrier was asked to take it so far.")
    dispatch_failed_reason: str | None = None


class SpecOutcome(StrEnum):
    """What became of a declared edit."""

    APPLIED = "applied"
    REJECTED = "rejected"


class SpecResult(Contract):
    """The last generation of the Order that the workflow answered, and how."""

    generation: int = 0
    owner_uid: str = ""
    """The Order whose generation it is; empty without one."""
    outcome: SpecOutcome = SpecOutcome.APPLIED
    reason: str = ""
    """Why something in that generation was refused; empty when all was taken."""


class OrderStatus(Contract):
    """The whole view."""

    order_id: str
    workflow_id: str
    run_id: str
    step: Step = Field(description="Where it stands; `manual_review` waits for an approval.")
    approved: bool = False
    canceled: bool = Field(default=False, description="Whether it has ended canceled, with all that was done undone.")
    cancel_reason: str | None = None
    address: Address
    payment: PaymentView
    shipments: tuple[ShipmentView, ...] = Field(default=(), description="One an attempt to ship it, the last one last.")
    dispatch_failed_reason: str | None = Field(default=None, description="Why the last shipment could not go.")
    last_error: str | None = Field(default=None, description="The last failure of a step; the step may be over since.")
    retries: dict[str, int] = Field(default_factory=dict, description="Attempts beyond the first, by step.")
    declared: SpecResult = Field(
        default=SpecResult(), description="The last edit of the Order in Kubernetes, and what became of it."
    )
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(default=None, description="None while it goes on.")

    @property
    def ended(self) -> bool:
        """Whether the order came to its end."""
        return self.completed_at is not None

    @property
    def settled(self) -> bool:
        """Whether it came to its end and nothing is owed for it: nothing of it will change any more."""
        return self.ended and not payment_pending(self.step, self.payment.status)
