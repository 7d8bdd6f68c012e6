"""The bodies, examples and parameters of requests and responses.

The models are separate from those of the resource and the workflow, so that each can change alone. Bodies of earlier
systems are accepted unchanged: flat customer fields, `shipping_address`, `line1`, an address without an envelope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Path
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from structlog.contextvars import bind_contextvars

from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.terms import DeliveryTerms, PaymentTerms, ReviewTerms, Timeout
from orderfleet.domain.base import MAX_TEXT_LENGTH, ORDER_NAME, WORKFLOW_ID, OrderId, PaymentId
from orderfleet.domain.events import RecordedEvent
from orderfleet.domain.money import Adjustment
from orderfleet.domain.names import may_be_workflow_id
from orderfleet.domain.order import (
    Address,
    Currency,
    Customer,
    CustomerEmail,
    CustomerName,
    Item,
    Reference,
)
from orderfleet.domain.strict_models import StrictModel
from orderfleet.services.errors import ChangeResult

_LONDON: Final[dict[str, JsonValue]] = {
    "street": "12 St James's Square",
    "city": "London",
    "state": "England",
    "zip": "SW1Y 4JH",
    "country": "GB",
}

_LEEDS: Final = {"street": "1 New Road", "city": "Leeds", "state": "England", "zip": "LS1 1AA", "country": "GB"}


class Body(StrictModel):
    """A request body; an unknown field is rejected, because it is most often a misspelling."""

    @model_validator(mode="before")
    @classmethod
    def _reject_surrogates(cls, data: Any) -> Any:
        """Reject lone surrogates: JSON can contain them, but UTF-8, and so the content hash and Postgres, can't."""
        try:
            json.dumps(data, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate (\\ud800 to \\udfff) is no character; leave it out") from None
        return data


class ItemTerms(Item, StrictModel):
    """An item of the order."""


class AdjustmentTerms(Adjustment, StrictModel):
    """An amount beside the prices: shipping, tax, a discount or a fee."""


class AddressTerms(Address, StrictModel):
    """The shipping address. `line1`, `line2`, `postal_code` and `country_code` are read too."""


class CustomerTerms(Customer, StrictModel):
    """The customer; both fields may be empty."""


class OrderTerms(Body):
    """Items, customer, address and terms of an order."""

    items: tuple[ItemTerms, ...] | None = Field(default=None, description="The items.")
    address: AddressTerms | None = Field(
        default=None,
        validation_alias=AliasChoices("address", "shipping_address"),
        description="The shipping address, also as `shipping_address`. Its `line1`, `line2`, `postal_code` and"
        " `country_code` are read as `street`, `street2`, `zip` and `country`.",
    )
    customer: CustomerTerms | None = Field(default=None, description="The customer.")
    customer_name: CustomerName | None = Field(
        default=None, description="Alias of `customer.name`; a different value in both is rejected."
    )
    customer_email: CustomerEmail | None = Field(
        default=None, description="Alias of `customer.email`; a different value in both is rejected."
    )
    payment_id: PaymentId | None = Field(default=None, description="Default: `pay-` and the order id.")
    payment: PaymentTerms | None = Field(default=None)
    currency: Currency | None = Field(default=None, description="ISO 4217 code; default: `USD`.", examples=["USD"])
    adjustments: tuple[AdjustmentTerms, ...] | None = Field(
        default=None,
        description="Shipping, taxes, discounts and fees; at most 50.",
        examples=[[{"kind": "shipping", "amount": "4.90"}, {"kind": "discount", "amount": "-1.00", "line": "1"}]],
    )
    reference: Reference | None = Field(
        default=None,
        description="The shop's own number of the order, any text; unique only with ORDERFLEET_UNIQUE_REFERENCE.",
        examples=["#1001"],
    )
    review: ReviewTerms | None = Field(default=None)
    deadline: Timeout | None = Field(
        default=None, description="From the start of the order; at the deadline it is canceled and compensated."
    )
    delivery: DeliveryTerms | None = Field(default=None)
    approved: StrictBool | None = Field(default=None, description="Whether the order is approved at its start.")

    @field_validator("customer_name", "customer_email")
    @classmethod
    def _equals_nested(cls, flat: str | None, info: ValidationInfo) -> str | None:
        nested, name = info.data.get("customer"), str(info.field_name).removeprefix("customer_")
        if flat and nested is not None and getattr(nested, name) not in {"", flat}:
            raise ValueError(f"differs from customer.{name}; give only one of them")
        return flat

    def merged_customer(self) -> Customer:
        """The customer, from `customer` and the flat fields; where both are set they are equal."""
        nested = self.customer or Customer()
        return Customer(name=self.customer_name or nested.name, email=self.customer_email or nested.email)


class NewOrder(OrderTerms):
    """A new order."""

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

    order_id: OrderId | None = Field(default=None, description="Can be used only once; generated if omitted.")


class StartOrder(OrderTerms):
    """A new order whose id is in the path."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"payment_id": "pay-1", "items": [{"sku": "tea-100", "qty": 2}], "address": _LONDON}]
        }
    )


class Cancel(Body):
    """The reason of a cancellation."""

    reason: str | None = Field(default=None, max_length=MAX_TEXT_LENGTH, examples=["changed my mind"])


class NewAddress(Body):
    """The new shipping address; the address without the envelope is accepted too."""

    address: AddressTerms = Field(validation_alias=AliasChoices("address", "new_address"), examples=[_LEEDS])

    @model_validator(mode="before")
    @classmethod
    def _wrap_bare_address(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.keys() & {"address", "new_address"}:
            named = cls.model_fields.keys() & data.keys()
            address = {name: value for name, value in data.items() if name not in named}
            return {"address": address, **{name: data[name] for name in named}}
        return data


class Created(BaseModel):
    """The started order; also returned when the same request is sent again."""

    order_id: str = Field(examples=["ord-1"])
    workflow_id: str = Field(examples=["order-ord-1"])
    run_id: str
    payment_id: str = Field(examples=["pay-ord-1"])
    message: str = Field(examples=["order ord-1 is started; it waits for approval"])


class Changed(BaseModel):
    """The result of a change."""

    order_id: str
    workflow_id: str
    result: ChangeResult = Field(description="`queued`: no worker answered; the change is handled when a worker runs.")
    message: str


class Events(BaseModel):
    """A page of the audit trail, oldest first."""

    order_id: str
    events: list[RecordedEvent]
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


STATUS_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "run_id": "01a1fd98-5496-778d-8d4f-97fa9e5bd7e1",
    "step": "shipped",
    "approved": True,
    "canceled": False,
    "cancel_reason": None,
    "address": _LONDON,
    "payment": {"id": "pay-ord-1", "status": "CHARGED", "amount": "9.00", "currency": "USD"},
    "shipments": [
        {
            "id": "shipping-ord-1-1",
            "status": "dispatched",
            "carrier": "simulated",
            "tracking_number": "SIMF7086F670C4C",
            "attempts": 1,
            "dispatch_failed_reason": None,
        }
    ],
    "dispatch_failed_reason": None,
    "last_error": None,
    "retries": {},
    "declared": {"generation": 0, "owner_uid": "", "outcome": "applied", "reason": ""},
    "created_at": "2026-11-21T10:13:01.212050Z",
    "updated_at": "2026-11-21T10:13:15.453362Z",
    "completed_at": "2026-11-21T10:13:15.451619Z",
    "source": "workflow",
}


EVENTS_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "events": [
        {
            "id": 7,
            "kind": "charged",
            "step": "shipping",
            "at": "2026-11-21T10:13:15.327000Z",
            "detail": {"amount": "9.00", "payment": "pay-ord-1"},
        }
    ],
    "next_after": 7,
}


CREATED_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "run_id": "01a1fd98-5496-778d-8d4f-97fa9e5bd7e1",
    "payment_id": "pay-ord-1",
    "message": "order ord-1 is started; it waits for approval",
}


CHANGED_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "result": "accepted",
    "message": "order ord-1 is approved",
}


QUEUED_EXAMPLE: Final[dict[str, Any]] = {
    **CHANGED_EXAMPLE,
    "result": "queued",
    "message": "no worker answered; order ord-1 will be approved when one runs, unless it is too late then",
}


def example(
    content: dict[str, Any], *, status: int = 200, description: str = "Done.", **more: Any
) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a successful response, by its status.

    Args:
        content: example of its body.
        status: of the response.
        description: of the response.
        more: further members of the description.
    """
    return {status: {"description": description, "content": {"application/json": {"example": content}}, **more}}


NewOrderId = Annotated[OrderId, Path(description="The order's id; an id can be used only once.", examples=["ord-1"])]
"""Path parameter of a start; it is never resolved as a workflow id."""

_NAME: Final = "The order id or the workflow id (`order-` and the order id); an existing order id has precedence."
OrderName = Annotated[
    str, StringConstraints(pattern=ORDER_NAME), Path(alias="order_id", description=_NAME, examples=["ord-1"])
]


async def _order_id(name: OrderName, services: ServicesDependency) -> str:
    if not may_be_workflow_id(name):
        return name
    order_id = await services.orders.order_id_of(name)
    # The log entry of the request has the order id, even if the path has the workflow id.
    bind_contextvars(order_id=order_id)
    return order_id


ResolvedOrderId = Annotated[str, Depends(_order_id)]
"""Order id of the path's order, which the path names by order id or workflow id."""

WorkflowId = Annotated[str, StringConstraints(pattern=WORKFLOW_ID)]
"""Id of an order's workflow: `order-` and the order id."""
