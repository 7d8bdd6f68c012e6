"""Shipments: the child workflow's input and result, and what the carrier is told and answers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orderfleet.domain.base import WORKFLOW_ID, Contract, ExternalName, Int64, OrderId
from orderfleet.domain.order import Address, Customer, Item
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy, TaskQueue
from orderfleet.domain.status import ShipmentStatus


class ShippingInput(Contract):
    """Input of `ShippingWorkflow`; its workflow id is the shipment id."""

    order_id: OrderId
    order_workflow_id: str = Field(pattern=WORKFLOW_ID)
    shipment_id: str
    attempt: int = Field(ge=1, le=1000)
    """Which shipment of the order this is, from 1."""
    items: tuple[Item, ...]
    address: Address
    customer: Customer
    payment: PaymentIntent
    """What to give back should the order's own workflow be gone."""
    orders_task_queue: TaskQueue
    policy: OrderPolicy


class ShippingResult(Contract):
    """How a shipment ended; the order workflow acts on it."""

    shipment_id: str
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    """Attempts of `dispatch_carrier`."""
    retries: dict[str, int] = Field(default_factory=dict)
    """Attempts beyond the first, by step."""
    reason: str | None = None
    """Why it failed or was canceled."""


class AddressChange(Contract):
    """The order asks its shipment to go elsewhere."""

    request: Int64
    """Number of the request; the answer carries it."""
    address: Address


class ShipmentCancel(Contract):
    """The order asks its shipment not to go."""

    request: Int64
    reason: str


class ShipmentAnswer(Contract):
    """What the shipment answers to either."""

    shipment_id: str
    request: Int64
    accepted: bool
    reason: str = ""
    """Why it was rejected."""


class DispatchFailed(Contract):
    """What a shipment tells its order when dispatch failed; told again, it counts once."""

    shipment_id: str
    reason: str


class Parcel(Contract):
    """What the carrier is asked to take."""

    order_id: str
    shipment_id: str
    attempt: int
    """Which shipment of the order asks; a voided attempt and those before it can't book any more."""
    items: tuple[Item, ...]
    address: Address
    customer: Customer


class Booking(Contract):
    """The carrier's answer to a booking."""

    carrier: ExternalName
    tracking_number: ExternalName


class BookingState(StrEnum):
    """What voiding a booking found."""

    NONE = "none"
    VOIDED = "voided"
    DISPATCHED = "dispatched"


class ParcelState(StrEnum):
    """Where a parcel is, as carriers say it; in this order."""

    BOOKED = "booked"
    IN_TRANSIT = "in_transit"
    DELIVERED = "delivered"


class CarrierUpdate(Contract):
    """The carrier's word on a shipment; told again, or out of order, it does no harm."""

    shipment_id: str
    status: ShipmentStatus
    """`dispatched` for booked or in transit, `delivered`."""
    parcel: ParcelState | None = None
    """What the carrier said; None from whoever tells the status alone, which is not recorded until delivered."""
    detail: str = ""


class ShipmentRecord(Contract):
    """A shipment's row as its own workflow writes it."""

    shipment_id: str
    order_id: str
    attempt: int
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    dispatch_failed_reason: str | None = None
