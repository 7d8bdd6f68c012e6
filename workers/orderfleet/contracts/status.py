"""The one view of an order that every reader gets: query, record, API, command line, Kubernetes.

Workflows build it from their state, the store from its rows; both must give the same answer.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from orderfleet.contracts.base import Contract
from orderfleet.contracts.money import Money
from orderfleet.contracts.order import Address


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
    status: PaymentStatus | None = None
    """None until the charge begins."""
    amount: Money
    currency: str


class ShipmentView(Contract):
    """One shipment as readers see it."""

    id: str
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    """Attempts of `dispatch_carrier` so far."""
    dispatch_failed_reason: str | None = None


class DeclarationOutcome(StrEnum):
    """What became of a declared edit."""

    APPLIED = "applied"
    REFUSED = "refused"


class DeclarationResult(Contract):
    """The last generation of the Order that the workflow answered, and how."""

    generation: int = 0
    owner_uid: str = ""
    """The Order whose generation it is; empty without one."""
    outcome: DeclarationOutcome = DeclarationOutcome.APPLIED
    reason: str = ""
    """Why something in that generation was refused; empty when all was taken."""


class OrderStatus(Contract):
    """The whole view."""

    order_id: str
    workflow_id: str
    run_id: str
    step: Step
    approved: bool = False
    canceled: bool = False
    cancel_reason: str | None = None
    address: Address
    payment: PaymentView
    shipments: tuple[ShipmentView, ...] = ()
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    retries: dict[str, int] = Field(default_factory=dict)
    """Attempts beyond the first, by step."""
    declared: DeclarationResult = DeclarationResult()
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the order came to its end."""
        return self.completed_at is not None
