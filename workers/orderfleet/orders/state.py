"""The whole state of one order's workflow, in one serialisable object.

Continue-as-new hands it to the next run, so nothing that matters may live elsewhere. The workflow
and its phases change it; readers get `view`.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from orderfleet.contracts.order import Address, OrderInput
from orderfleet.contracts.record import AuditEvent
from orderfleet.contracts.status import (
    DeclarationResult,
    OrderStatus,
    PaymentStatus,
    PaymentView,
    ShipmentView,
    Step,
)
from orderfleet.orders import lifecycle


class OrderState(BaseModel):
    """What an order's workflow knows."""

    step: Step = Step.RECEIVE
    received: bool = False
    """Whether the record has the order, and so takes its progress."""
    approved: bool = False
    cancel_requested: str | None = None
    """The reason of a cancel that was taken; the order undoes itself and ends canceled."""
    canceled: bool = False
    cancel_reason: str | None = None
    address: Address
    payment_status: PaymentStatus | None = None
    shipments: list[ShipmentView] = Field(default_factory=list)
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    retries: dict[str, int] = Field(default_factory=dict)
    declared: DeclarationResult = DeclarationResult()
    review_deadline: datetime | None = None
    delivery_deadline: datetime | None = None
    delivered: list[str] = Field(default_factory=list)
    """Shipments that the carrier says are delivered; it may say so before its booking is answered."""
    delivered_detail: dict[str, str] = Field(default_factory=dict)
    """What it said with it, by shipment."""
    heard: list[str] = Field(default_factory=list)
    """The carrier's other words that are in the audit trail, as `delivery` writes them down."""
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    seq: int = 0
    """Number of the last record that was drafted."""
    event_count: int = 0
    pending: list[AuditEvent] = Field(default_factory=list)
    """Events that no record carries yet."""

    @classmethod
    def new(cls, order: OrderInput, now: datetime) -> OrderState:
        """The state of an order that starts now."""
        return cls(
            address=order.address,
            approved=order.approved,
            declared=DeclarationResult(generation=order.generation, owner_uid=order.owner_uid),
            created_at=now,
            updated_at=now,
        )

    def enter(self, step: Step) -> None:
        """Move to `step` along the transition table."""
        if step is not self.step:
            self.step = lifecycle.advance(self.step, step)

    def count_retries(self, step: str, attempt: int) -> None:
        """Keep how many attempts beyond the first a step took."""
        if attempt > 1:
            self.retries[step] = self.retries.get(step, 0) + attempt - 1

    def view(self, order: OrderInput, workflow_id: str, run_id: str) -> OrderStatus:
        """What readers see."""
        return OrderStatus(
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=run_id,
            step=self.step,
            approved=self.approved,
            canceled=self.canceled,
            cancel_reason=self.cancel_reason,
            address=self.address,
            payment=PaymentView(
                id=order.payment_id, status=self.payment_status, amount=order.amount, currency=order.currency
            ),
            shipments=tuple(self.shipments),
            dispatch_failed_reason=self.dispatch_failed_reason,
            last_error=self.last_error,
            retries=dict(self.retries),
            declared=self.declared,
            created_at=self.created_at,
            updated_at=self.updated_at,
            completed_at=self.completed_at,
        )
