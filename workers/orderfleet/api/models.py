"""The bodies of requests: outer models of their own, so that API, resource and workflow change alone.

Routes read them, the command line builds the same order from its arguments. The bodies of earlier
systems are read as they are: flat customer fields, `shipping_address`, `line1`, an address without
an envelope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AliasChoices, ConfigDict, Field, JsonValue, StrictBool, WithJsonSchema, model_validator

from orderfleet.contracts.base import OrderId, PaymentId
from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.order import (
    Address,
    Currency,
    Customer,
    CustomerEmail,
    CustomerName,
    Item,
    ReviewMode,
    ReviewTimeoutAction,
)
from orderfleet.contracts.strict import StrictModel
from orderfleet.contracts.words import LONGEST

NOTHING: Final = parse_duration("0s")

Bound = Annotated[Duration, Field(gt=NOTHING), WithJsonSchema({"type": "string", "examples": ["24h", "1h30m", "3s"]})]
"""A duration above zero, as Kubernetes writes them."""


_LONDON: Final[dict[str, JsonValue]] = {
    "street": "12 St James's Square",
    "city": "London",
    "state": "England",
    "zip": "SW1Y 4JH",
    "country": "GB",
}
_LEEDS: Final = {"street": "1 New Road", "city": "Leeds", "state": "England", "zip": "LS1 1AA", "country": "GB"}


class Body(StrictModel):
    """A request body; an unknown field is refused, because it is most often a misspelt one."""

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, data: Any) -> Any:
        """Refuse half a surrogate pair: JSON can spell it, and neither a hash nor the record can take it."""
        try:
            json.dumps(data, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            msg = "half a surrogate pair (\\ud800 to \\udfff) is no character; leave it out"
            raise ValueError(msg) from None
        return data


class ItemTerms(Item, StrictModel):
    """One line of the order."""


class AddressTerms(Address, StrictModel):
    """Where the package goes. `line1` is read as `street`."""


class CustomerTerms(Customer, StrictModel):
    """Who ordered; both fields may be empty."""


class ReviewTerms(Body):
    """Terms of the review; what is left out comes from the settings."""

    mode: ReviewMode | None = Field(default=None, description="`manual` waits for an approval.")
    timeout: Bound | None = Field(default=None, description="How long the review may take.")
    on_timeout: ReviewTimeoutAction | None = Field(
        default=None,
        validation_alias=AliasChoices("on_timeout", "onTimeout"),
        description="What becomes of an order nobody reviewed in time.",
    )


class DeliveryTerms(Body):
    """Terms of the delivery; what is left out comes from the settings."""

    confirm: StrictBool | None = Field(
        default=None, description="End the order only when the carrier confirms delivery."
    )
    timeout: Bound | None = Field(default=None, description="How long to wait for the confirmation.")


class OrderTerms(Body):
    """What is ordered, by whom, where it goes and on which terms."""

    items: tuple[ItemTerms, ...] | None = Field(default=None, description="What is ordered.")
    address: AddressTerms | None = Field(
        default=None,
        validation_alias=AliasChoices("address", "shipping_address"),
        description="Where the package goes; `shipping_address` is read too, and `line1` for `street`.",
    )
    customer: CustomerTerms | None = Field(default=None, description="Who ordered.")
    customer_name: CustomerName | None = Field(default=None, description="The same as `customer.name`.")
    customer_email: CustomerEmail | None = Field(default=None, description="The same as `customer.email`.")
    payment_id: PaymentId | None = Field(default=None, description="Left out: `pay-` and the order id.")
    currency: Currency | None = Field(default=None, description="ISO 4217 code; left out: `USD`.", examples=["USD"])
    review: ReviewTerms | None = Field(default=None)
    deadline: Bound | None = Field(
        default=None, description="From the start of the order; then it is canceled and undone."
    )
    delivery: DeliveryTerms | None = Field(default=None)
    approved: StrictBool | None = Field(default=None, description="Approved from the start.")

    def customer_told(self) -> Customer:
        """Who ordered, from whichever of the fields say it."""
        told = self.customer or Customer()
        return Customer(name=self.customer_name or told.name, email=self.customer_email or told.email)


class NewOrder(OrderTerms):
    """An order to be started."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "order_id": "ord-1",
                    "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
                    "items": [{"sku": "tea-100", "qty": 2, "price": "4.50"}],
                    "address": _LONDON,
                    "review": {"mode": "manual", "timeout": "24h"},
                }
            ]
        }
    )

    order_id: OrderId | None = Field(default=None, description="Used once, ever; made when left out.")


class StartOrder(OrderTerms):
    """An order to be started under the id in the path."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payment_id": "pay-1",
                    "items": [{"sku": "tea-100", "qty": 2}],
                    "address": _LONDON,
                }
            ]
        }
    )


class Cancel(Body):
    """Why the order is canceled."""

    reason: str | None = Field(default=None, max_length=LONGEST, examples=["changed my mind"])


class NewAddress(Body):
    """Where the package shall go instead; the address itself is read too."""

    address: AddressTerms = Field(
        validation_alias=AliasChoices("address", "new_address"),
        examples=[_LEEDS],
    )

    @model_validator(mode="before")
    @classmethod
    def _address_itself(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.keys() & {"address", "new_address"}:
            named = cls.model_fields.keys() & data.keys()
            address = {name: value for name, value in data.items() if name not in named}
            return {"address": address, **{name: data[name] for name in named}}
        return data
