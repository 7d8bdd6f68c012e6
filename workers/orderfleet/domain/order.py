"""The order itself: items, address, review and delivery terms, and the workflow's input.

The API body and the CRD's spec are outer models of their own; they share the inner ones here.
The models check types only: what makes an order *wrong* (no items, a quantity below 1, …) is the
`validate` step's business, so that a wrong order ends as a failed order that names the field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from orderfleet.domain.base import Contract, Int64, OrderId, PaymentId
from orderfleet.domain.durations import PositiveDuration, parse_duration
from orderfleet.domain.money import DEFAULT_PRICE, Price
from orderfleet.domain.names import default_payment_id
from orderfleet.domain.policy import OrderPolicy

# The longest texts of an order, in characters. The Order resource has the same; a test compares them. An index row of
# Postgres holds 2,704 bytes, and an order's e-mail address is in two indexes.
CustomerName = Annotated[str, Field(max_length=256)]

CustomerEmail = Annotated[str, Field(max_length=320)]

Currency = Annotated[str, Field(max_length=3)]

Line = Annotated[str, Field(max_length=256)]

"""A line of an address."""


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        msg = "is not a whole number; write it as a number, such as 2"
        raise ValueError(msg)  # noqa: TRY004 - pydantic makes a problem of this one
    return value


Quantity = Annotated[int, BeforeValidator(_no_truth_value)]

"""A number of pieces; Python counts `true` as 1, JSON doesn't."""


class Item(Contract):
    """One line of the order."""

    sku: str = Field(max_length=128, description="What it is, by its number in the shop.", examples=["tea-100"])
    qty: Quantity = Field(description="How many pieces; at least 1.", examples=[2])
    price: Price | None = Field(
        default=None,
        description="Of one piece, with at most four decimals, best as a string; left out it is"
        " an error, and counts 1.00 only where prices are not required (ORDERFLEET_REQUIRE_PRICES).",
        examples=["4.50"],
    )


class Address(Contract):
    """Where the package goes. `line1` is read as `street`."""

    street: Line = Field(default="", validation_alias=AliasChoices("street", "line1"))
    city: Line = ""
    state: Line = ""
    zip: str = Field(default="", max_length=32)
    country: Line = ""


class Customer(Contract):
    """Who ordered; both fields may be empty."""

    name: CustomerName = ""
    email: CustomerEmail = ""


class ReviewMode(StrEnum):
    """Whether a person approves the order before it is charged."""

    MANUAL = "manual"
    AUTO = "auto"


class ReviewTimeoutAction(StrEnum):
    """What becomes of an order nobody reviewed in time."""

    CANCEL = "cancel"
    APPROVE = "approve"


class Review(Contract):
    """Terms of the review."""

    mode: ReviewMode = ReviewMode.MANUAL
    timeout: PositiveDuration = parse_duration("24h")
    on_timeout: ReviewTimeoutAction = ReviewTimeoutAction.CANCEL


class Delivery(Contract):
    """Whether the order ends when it is shipped, or when the carrier confirms delivery."""

    confirm: bool = False
    timeout: PositiveDuration = parse_duration("336h")
    """How long to wait for the confirmation."""


class OrderInput(Contract):
    """Input of `OrderWorkflow`: one object, also for a raw Temporal client."""

    order_id: OrderId
    items: tuple[Item, ...] = ()
    address: Address = Address()
    customer: Customer = Customer()
    payment_id: PaymentId = ""
    """Made from the order id when left out."""
    currency: Currency = "USD"
    review: Review = Review()
    deadline: PositiveDuration | None = None
    """Counted from the start of the order; then it is canceled and undone."""
    delivery: Delivery = Delivery()
    approved: bool = False
    """Approved from the start, as a manifest may declare it."""
    generation: Int64 = 0
    """`metadata.generation` of the Order this input was made from; 0 without one."""
    owner: str = Field(default="", max_length=507)
    """`namespace/name` of the Order; empty when the order was not declared in Kubernetes."""
    owner_uid: str = Field(default="", max_length=256)
    content_hash: str = Field(default="", max_length=128)
    policy: OrderPolicy = OrderPolicy()

    @model_validator(mode="before")
    @classmethod
    def _payment_id_from_order_id(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("payment_id") and isinstance(data.get("order_id"), str):
            return {**data, "payment_id": default_payment_id(data["order_id"])}
        return data

    @property
    def amount(self) -> Decimal:
        """Sum of quantity times price, exact."""
        return total(self.items)


def total(items: tuple[Item, ...]) -> Decimal:
    """Sum of quantity times price; an item without a price counts 1.00 a piece."""
    return sum(
        (item.qty * (DEFAULT_PRICE if item.price is None else item.price) for item in items),
        Decimal(0),
    )


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON `content`, whatever the order of its keys; 64 hex digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class SpecUpdate(Contract):
    """The declared state at one generation of the Order."""

    generation: Int64 = Field(ge=1)
    owner_uid: str = Field(default="", max_length=256)
    """Which Order: one deleted and applied again is another object and counts its generations anew."""
    approved: bool = False
    cancel: bool = False
    cancel_reason: str = ""
    address: Address | None = None
