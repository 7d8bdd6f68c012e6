"""The status of an order, the same for every reader: query, database, API, command line, Kubernetes; and its listing.

Workflows build it from their state and the store from its rows; both must give the same result.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, Field, field_serializer, model_validator

from orderfleet.domain.base import Contract, OrderId
from orderfleet.domain.money import Money
from orderfleet.domain.order import Address, is_empty


class Step(StrEnum):
    """Step of an order."""

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
    """Status of a payment, which the database derives from the ledger: of those that hold, the latest."""

    INIT = "INIT"
    PENDING = "PENDING"
    """Waits for the customer."""
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"
    CHARGED = "CHARGED"
    """Captured, and nothing more can be."""
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    FAILED = "FAILED"
    """The charge or the authorization was refused."""
    VOIDED = "VOIDED"
    """Nothing was captured, and all authorizations are released or have lapsed."""
    REFUNDING = "REFUNDING"
    """The provider has not answered a refund."""
    REFUNDED = "REFUNDED"
    """Nothing of what was captured is left: it was refunded or charged back."""


_HOLDS_MONEY: Final = frozenset(
    {
        PaymentStatus.AUTHORIZED,
        PaymentStatus.PARTIALLY_CAPTURED,
        PaymentStatus.CHARGED,
        PaymentStatus.PARTIALLY_REFUNDED,
    }
)


def payment_pending(step: Step, payment: PaymentStatus | None) -> bool:
    """Whether a charge, an authorization or a refund of an order is pending.

    Money that a canceled or failed order holds is to be returned, also before that has begun. The SQL function of the
    same name (migration 0002) must give the same result.

    Args:
        step: step of the order.
        payment: status of its payment.
    """
    if payment in _HOLDS_MONEY:
        return step in {Step.CANCELED, Step.FAILED}
    return payment in {PaymentStatus.INIT, PaymentStatus.PENDING, PaymentStatus.REFUNDING}


class ShipmentStatus(StrEnum):
    """Status of a shipment; `domain.transitions` has the allowed changes."""

    PREPARING = "preparing"
    PREPARED = "prepared"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    PARKED = "parked"
    """Stopped before its dispatch, because the payment was not captured. The order is held, and continues with it."""
    CANCELED = "canceled"
    FAILED = "failed"


class PendingCustomer(Contract):
    """A charge or an authorization that waits for the customer: 3-D Secure, a bank transfer."""

    url: str = ""
    """The page on which the customer completes the payment; empty if there is none."""
    until: datetime | None = None
    """When the provider gives up; None if it does not say."""


class HoldName(StrEnum):
    """Why an order waits before its dispatch."""

    PAYMENT_REQUIRED = "payment_required"
    """The payment provider refused the capture."""
    CAPTURE_UNKNOWN = "capture_unknown"
    """The provider did not answer whether it captured the payment."""


class Hold(Contract):
    """What an order waits for before its dispatch."""

    name: HoldName
    reason: str = Field(description="What happened, such as the provider's message.")
    remedy: str = Field(description="What ends the hold.")
    since: datetime
    until: datetime = Field(description="When the order is canceled unless the hold has ended.")


def is_none(value: object) -> bool:
    """Whether a field that most orders lack is left out of JSON."""
    return value is None


_AMOUNTS: Final = ("authorized", "captured", "refunded")


class PaymentView(Contract):
    """The payment in the status of an order. Amounts have exactly the decimals of the currency.

    Amounts that are not given are those that its status implies.
    """

    id: str
    status: PaymentStatus | None = Field(default=None, description="None until the charge begins.")
    amount: Money = Field(description="Of the order.")
    authorized: Money = Field(default=Decimal(0), description="Authorized or captured, without what was released.")
    captured: Money = Decimal(0)
    refunded: Money = Decimal(0)
    currency: str
    pending: PendingCustomer | None = Field(
        default=None, exclude_if=is_none, description="What the payment waits for; left out unless it is PENDING."
    )

    @model_validator(mode="before")
    @classmethod
    def _implied_amounts(cls, data: Any) -> Any:
        with suppress(ArithmeticError, KeyError, TypeError):
            return implied_amounts(data.get("status"), data["amount"]) | dict(data)
        return data  # pydantic reports what is wrong with it

    @property
    def implied(self) -> frozenset[str]:
        """The amounts that the status implies, so that a payload need not have them."""
        implied = implied_amounts(self.status, self.amount)
        return frozenset(name for name in _AMOUNTS if getattr(self, name) == implied[name])


def implied_amounts(status: str | None, amount: Any) -> dict[str, Decimal]:
    """The amounts of a payment that was authorized, captured or refunded as a whole, or not at all.

    Args:
        status: of the payment.
        amount: of the order, with the decimals of its currency.
    """
    whole = Decimal(str(amount))
    nothing = whole - whole
    captured = whole if status in _CAPTURED else nothing
    return {
        "authorized": whole if status == PaymentStatus.AUTHORIZED else captured,
        "captured": captured,
        "refunded": whole if status == PaymentStatus.REFUNDED else nothing,
    }


_CAPTURED: Final = frozenset({PaymentStatus.CHARGED, PaymentStatus.REFUNDING, PaymentStatus.REFUNDED})


class ShipmentView(Contract):
    """One shipment in the status of an order."""

    id: str
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = Field(default=0, description="Attempts of the booking so far.")
    dispatch_failed_reason: str | None = None


class SpecOutcome(StrEnum):
    """Whether an order accepted a new spec."""

    APPLIED = "applied"
    REJECTED = "rejected"


class SpecResult(Contract):
    """The last generation of the Order that the workflow received, and its outcome."""

    generation: int = 0
    owner_uid: str = ""
    """UID of the Order; empty without one."""
    outcome: SpecOutcome = SpecOutcome.APPLIED
    reason: str = ""
    """Why a change of that generation was rejected; empty if all were accepted."""


_ALWAYS_SHOWN: Final = frozenset({"street", "city", "state", "zip", "country"})
"""Fields of the address that a status has also while they are empty."""


class OrderStatus(Contract):
    """The status of an order."""

    order_id: str
    workflow_id: str
    run_id: str
    reference: str = Field(
        default="", exclude_if=is_empty, description="The shop's own number of the order; left out if it has none."
    )
    step: Step = Field(description="`manual_review` waits for an approval.")
    approved: bool = False
    canceled: bool = Field(default=False, description="Whether the order has ended canceled.")
    cancel_reason: str | None = None
    address: Address = Field(description="As written. Fields beside these five are left out while they are empty.")
    payment: PaymentView
    hold: Hold | None = Field(
        default=None, exclude_if=is_none, description="Why the order waits before its dispatch; left out without one."
    )
    shipments: tuple[ShipmentView, ...] = Field(default=(), description="One per attempt to ship, the latest one last.")
    dispatch_failed_reason: str | None = Field(default=None, description="Why the latest shipment failed.")
    last_error: str | None = Field(default=None, description="The last failure of a step; it may have succeeded since.")
    retries: dict[str, int] = Field(default_factory=dict, description="Attempts beyond the first, by step.")
    declared: SpecResult = Field(
        default=SpecResult(), description="The last spec of the Order in Kubernetes, and its outcome."
    )
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(default=None, description="None until the order ends.")

    @field_serializer("address")
    def _without_empty_additions(self, address: Address) -> dict[str, str]:
        """The address without the later fields that are empty, so that clients read today's orders as before."""
        return {name: value for name, value in address if value or name in _ALWAYS_SHOWN}

    @property
    def ended(self) -> bool:
        """Whether the order has ended."""
        return self.completed_at is not None

    @property
    def tracking_number(self) -> str | None:
        """Of the latest shipment that has one."""
        return next((each.tracking_number for each in reversed(self.shipments) if each.tracking_number), None)

    @property
    def settled(self) -> bool:
        """Whether the order has ended and no charge or refund is pending, so that its status is final."""
        return self.ended and not payment_pending(self.step, self.payment.status)


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the years 1 to 9999") from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with a time zone, converted to UTC."""


class OrderFilter(Contract):
    """Which orders to list; a field that is None does not filter."""

    step: Step | None = None
    customer_email: str | None = None
    """The whole address; case is ignored."""
    reference: str | None = None
    """The whole reference, exactly."""
    created_from: UtcDatetime | None = None
    """Lists orders that started at this time or later."""
    created_before: UtcDatetime | None = None
    """Lists orders that started before this time."""


class Cursor(Contract):
    """Position in a listing, directly after this order, which may have been deleted."""

    created_at: UtcDatetime
    order_id: OrderId


class OrderPage(Contract):
    """One page of a listing, which is always sorted from newest to oldest."""

    orders: tuple[OrderStatus, ...]
    next: Cursor | None = None
    """Cursor of the next page; None on the last one."""
