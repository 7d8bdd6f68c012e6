"""Shipments: input, result and signals of their workflow; requests to and updates of the carrier."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orderfleet.domain import names
from orderfleet.domain.base import Contract, ExternalName, Int64, OrderId, PaymentId
from orderfleet.domain.money import Adjustment
from orderfleet.domain.order import Address, CaptureMode, Currency, Customer, Item, PaymentMethod, total
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy, TaskQueue
from orderfleet.domain.status import HoldName, ShipmentStatus


class ShippingInput(Contract):
    """Input of `ShippingWorkflow`; its workflow id is the shipment id."""

    order_id: OrderId
    attempt: int = Field(ge=1, le=1000)
    """Number of the shipment in its order, from 1."""
    items: tuple[Item, ...]
    address: Address
    customer: Customer = Customer()
    payment_id: PaymentId
    """The payment that the shipment refunds if the order's workflow is closed."""
    currency: Currency
    adjustments: tuple[Adjustment, ...] = ()
    capture: CaptureMode = CaptureMode.IMMEDIATE
    method: PaymentMethod = ""
    """With which the customer pays; empty leaves the choice to the provider."""
    run: int = Field(default=1, ge=1)
    """Above 1 if earlier runs of this shipment were parked."""
    orders_task_queue: TaskQueue = names.ORDERS_TASK_QUEUE
    policy: OrderPolicy

    @property
    def shipment_id(self) -> str:
        """Id of the shipment and of its workflow."""
        return names.shipment_id(self.order_id, self.attempt)

    @property
    def payment(self) -> PaymentIntent:
        """The charge of the order."""
        return PaymentIntent(**dict(self), amount=total(self.items, self.adjustments, self.currency))


class ShippingResult(Contract):
    """How a shipment ended."""

    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    """Attempts of `dispatch_carrier`."""
    retries: dict[str, int] = Field(default_factory=dict)
    """Attempts beyond the first, by step."""
    reason: str | None = None
    """Why it failed, was canceled or parked."""
    hold: HoldName | None = None
    """What a parked shipment waits for."""
    captured: bool = False
    """Whether it captured the payment, or found it captured."""


class AddressChange(Contract):
    """Request of the order to its shipment: another address."""

    request: Int64
    """Number of the request, which the answer repeats."""
    address: Address


class ShipmentCancel(Contract):
    """Request of the order to its shipment: cancel."""

    request: Int64
    reason: str


class ShipmentAnswer(Contract):
    """Answer of a shipment to a request."""

    shipment_id: str
    request: Int64
    accepted: bool
    reason: str = ""
    """Why it was rejected."""


class DispatchFailed(Contract):
    """Signal of a shipment to its order when dispatch failed; a repetition changes nothing."""

    shipment_id: str
    reason: str


class Parcel(Contract):
    """A parcel to book with the carrier."""

    order_id: str
    shipment_id: str
    attempt: int
    """Number of the shipment in its order, from 1; after a void, it and lower ones can't be booked."""
    items: tuple[Item, ...]
    address: Address
    customer: Customer


class Booking(Contract):
    """The carrier's confirmation of a booking."""

    carrier: ExternalName
    tracking_number: ExternalName


class BookingState(StrEnum):
    """What voiding a booking found."""

    NONE = "none"
    VOIDED = "voided"
    DISPATCHED = "dispatched"


class ParcelState(StrEnum):
    """State of a parcel as carriers report it, in this sequence."""

    BOOKED = "booked"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"


class CarrierUpdate(Contract):
    """A carrier's update on a shipment. A repeated or a late one is safe."""

    shipment_id: str
    status: ShipmentStatus
    """`dispatched` for a parcel that is booked or in transit, or `delivered`."""
    parcel: ParcelState | None = None
    """State of the parcel; without it, an update is recorded only when it reports the delivery."""
    detail: str = ""


class ShipmentRecord(Contract):
    """A shipment's row in the database."""

    shipment_id: str
    order_id: str
    attempt: int
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    dispatch_failed_reason: str | None = None
