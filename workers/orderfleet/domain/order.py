"""The order: items, address, review and delivery terms, and the input of its workflow.

The API and the custom resource have outer models of their own and share the inner ones. These must check types only:
the `validate` step checks values, so that an invalid order is recorded as failed with the names of its fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from orderfleet.domain.base import Contract, Int64, OrderId, PaymentId
from orderfleet.domain.durations import PositiveDuration, parse_duration
from orderfleet.domain.money import DEFAULT_PRICE, Adjustment, LineId, Price, line_total, order_total
from orderfleet.domain.names import default_payment_id
from orderfleet.domain.policy import OrderPolicy

# Maximum lengths in characters, equal to those of the Order resource. An index row of Postgres holds 2,704 bytes, and
# the customer's e-mail address is in two indexes.
CustomerName = Annotated[str, Field(max_length=256)]

CustomerEmail = Annotated[str, Field(max_length=320)]

Currency = Annotated[str, Field(max_length=3)]

Reference = Annotated[str, Field(max_length=255)]
"""The shop's own number of an order, such as `#1001`."""

AddressField = Annotated[str, Field(max_length=256)]
"""A field of an address."""


def _not_a_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a whole number; write it as a number, such as 2")  # noqa: TRY004 - pydantic reports a ValueError as a problem of the field
    return value


Quantity = Annotated[int, BeforeValidator(_not_a_boolean)]
"""A number of pieces. Pydantic reads `true` as 1, which is rejected here."""


def is_empty(value: str) -> bool:
    """Whether a field that an order may leave out is left out of JSON."""
    return not value


class Item(Contract):
    """One item of the order, which is one of its lines."""

    id: LineId = Field(
        default="",
        exclude_if=is_empty,
        description="The shop's id of the line, unique in the order; not `shipping`. Default: its number, from 1.",
        examples=["line-1"],
    )
    sku: str = Field(max_length=128, description="What it is, by its number in the shop.", examples=["tea-100"])
    qty: Quantity = Field(description="How many pieces; at least 1.", examples=[2])
    price: Price | None = Field(
        default=None,
        description="Of one piece, with at most four decimals, best as a string; left out it is"
        " an error, and counts 1.00 only where prices are not required (ORDERFLEET_REQUIRE_PRICES).",
        examples=["4.50"],
    )


ADDRESS_ALIASES: Final = {"street": "line1", "street2": "line2", "zip": "postal_code", "country": "country_code"}
"""Second name of a field of the address, which is read too."""


def _two_names(field: str) -> AliasChoices:
    return AliasChoices(field, ADDRESS_ALIASES[field])


class Address(Contract):
    """Address of the delivery. `line1`, `line2`, `postal_code` and `country_code` are read too."""

    name: AddressField = ""
    """The recipient, where it is another person than the customer."""
    company: AddressField = ""
    street: AddressField = Field(default="", validation_alias=_two_names("street"))
    """Street and number, or what the country writes in their place."""
    street2: AddressField = Field(default="", validation_alias=_two_names("street2"))
    """A second line: floor, apartment, building."""
    district: AddressField = ""
    """A part of the city, where the country's addresses have one."""
    city: AddressField = ""
    state: AddressField = ""
    """State, province, prefecture or area."""
    zip: str = Field(default="", max_length=32, validation_alias=_two_names("zip"))
    """Postal code."""
    country: AddressField = Field(default="", validation_alias=_two_names("country"))
    """The two letters of ISO 3166-1, such as DE. Another text is accepted unless the check is strict."""
    phone: AddressField = ""

    @model_validator(mode="before")
    @classmethod
    def _one_name_for_each_field(cls, data: Any) -> Any:
        # A model that forbids unknown fields reports the second name itself.
        if cls.model_config.get("extra") != "forbid" and isinstance(data, Mapping):
            for name, alias in ADDRESS_ALIASES.items():
                if alias in data and data.get(name) not in (None, data[alias]):
                    raise ValueError(f"{name} and {alias} are two names of one field and differ; write only {name}")
        return data


class Customer(Contract):
    """The customer; both fields may be empty."""

    name: CustomerName = ""
    email: CustomerEmail = ""


class ReviewMode(StrEnum):
    """Whether a person approves the order before it is charged."""

    MANUAL = "manual"
    AUTO = "auto"


class ReviewTimeoutAction(StrEnum):
    """What happens when a review times out."""

    CANCEL = "cancel"
    APPROVE = "approve"


class Review(Contract):
    """Terms of the review."""

    mode: ReviewMode = ReviewMode.MANUAL
    timeout: PositiveDuration = parse_duration("24h")
    on_timeout: ReviewTimeoutAction = ReviewTimeoutAction.CANCEL


class Delivery(Contract):
    """Whether the order ends when it is shipped, or when the carrier confirms the delivery."""

    confirm: bool = False
    timeout: PositiveDuration = parse_duration("336h")
    """How long the order waits for the confirmation."""


class CaptureMode(StrEnum):
    """When the money of an order is taken."""

    IMMEDIATE = "immediate"
    """In one charge, at the step `charge`."""
    ON_SHIPMENT = "onShipment"
    """Authorized at the step `charge`, captured before the dispatch."""


PaymentMethod = Annotated[str, Field(max_length=255)]
"""The provider's token of the customer's means of payment. Never card data."""


class PaymentTerms(Contract):
    """How an order is paid."""

    method: PaymentMethod = ""
    """Empty leaves the choice to the provider."""
    capture: CaptureMode = CaptureMode.IMMEDIATE


def _policy(value: Any) -> Any:
    return OrderPolicy() if value is None else value


class OrderInput(Contract):
    """Input of `OrderWorkflow`, also of one that another Temporal client starts."""

    order_id: OrderId
    items: tuple[Item, ...] = ()
    address: Address = Address()
    customer: Customer = Customer()
    payment_id: PaymentId = ""
    """Derived from the order id if left out."""
    payment: PaymentTerms = PaymentTerms()
    currency: Currency = "USD"
    adjustments: tuple[Adjustment, ...] = ()
    reference: Reference = ""
    review: Review = Review()
    deadline: PositiveDuration | None = None
    """Time from the start of the order until it is canceled and compensated; None without limit."""
    delivery: Delivery = Delivery()
    approved: bool = False
    """Approved from the start, as a manifest can specify."""
    generation: Int64 = 0
    """`metadata.generation` of the Order that the input was read from; 0 without one."""
    owner: str = Field(default="", max_length=507)
    """`namespace/name` of the Order; empty without one."""
    owner_uid: str = Field(default="", max_length=256)
    content_hash: str = Field(default="", max_length=128)
    policy: Annotated[OrderPolicy, BeforeValidator(_policy)] = Field(default=None, validate_default=True)
    """The current defaults if left out. A payload always has it, with their number."""

    @model_validator(mode="before")
    @classmethod
    def _payment_id_from_order_id(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("payment_id") and isinstance(data.get("order_id"), str):
            return {**data, "payment_id": default_payment_id(data["order_id"])}
        return data

    @property
    def amount(self) -> int:
        """The order's total in minor units of its currency."""
        return total(self.items, self.adjustments, self.currency)


def line_ids(items: Sequence[Item]) -> list[str]:
    """The id of each line: the item's, or else its number from 1."""
    return [item.id or str(number) for number, item in enumerate(items, 1)]


def line_totals(items: Sequence[Item], currency: str) -> list[int]:
    """Quantity times unit price of each line in minor units; an item without a price counts `DEFAULT_PRICE`."""
    return [line_total(item.qty, DEFAULT_PRICE if item.price is None else item.price, currency) for item in items]


def total(items: Sequence[Item], adjustments: Sequence[Adjustment], currency: str) -> int:
    """The sum of lines and adjustments in minor units."""
    return order_total(line_totals(items, currency), adjustments, currency)


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON `content`, independent of the order of its keys; 64 hex digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class SpecUpdate(Contract):
    """The part of an Order's spec that can change, at one generation."""

    generation: Int64 = Field(ge=1)
    owner_uid: str = Field(default="", max_length=256)
    """UID of the Order: one that is deleted and created again counts its generations from 1."""
    approved: bool = False
    cancel: bool = False
    cancel_reason: str = ""
    address: Address | None = None
    payment_method: PaymentMethod = ""
    """`spec.payment.method`; empty if the Order has none."""
