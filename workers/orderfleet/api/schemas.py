"""The bodies of requests: outer models of their own, so that API, resource and workflow change alone.

Routes read them, the command line builds the same order from its arguments. The bodies of earlier
systems are read as they are: flat customer fields, `shipping_address`, `line1`, an address without
an envelope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Request
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from structlog.contextvars import bind_contextvars

from orderfleet.api.dependencies import Given
from orderfleet.domain.base import MAX_TEXT_LENGTH, ORDER_NAME, WORKFLOW_ID, OrderId, PaymentId
from orderfleet.domain.durations import Duration, parse_duration
from orderfleet.domain.events import RecordedEvent
from orderfleet.domain.names import may_be_workflow_id
from orderfleet.domain.order import (
    Address,
    Currency,
    Customer,
    CustomerEmail,
    CustomerName,
    Item,
    ReviewMode,
    ReviewTimeoutAction,
)
from orderfleet.domain.strict_models import StrictModel
from orderfleet.services.errors import ChangeResult

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

    reason: str | None = Field(default=None, max_length=MAX_TEXT_LENGTH, examples=["changed my mind"])


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


class Created(BaseModel):
    """The order's workflow, started now or by the same request before."""

    order_id: str = Field(examples=["ord-1"])
    workflow_id: str = Field(examples=["order-ord-1"])
    run_id: str
    payment_id: str = Field(examples=["pay-ord-1"])
    message: str = Field(examples=["order ord-1 is started; it waits for approval"])


class Changed(BaseModel):
    """What became of a change."""

    order_id: str
    workflow_id: str
    result: ChangeResult = Field(description="`queued`: no worker answered; the change is handled when one runs.")
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
    "address": {
        "street": "12 St James's Square",
        "city": "London",
        "state": "England",
        "zip": "SW1Y 4JH",
        "country": "GB",
    },
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
    "result": "taken",
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
    """The OpenAPI description of a successful answer that shows `content`; `more` is added to it."""
    return {status: {"description": description, "content": {"application/json": {"example": content}}, **more}}


NewOrderId = Annotated[OrderId, Path(description="The order's id; an id is used only once.", examples=["ord-1"])]

"""In the path of a start, where it is never read as a workflow's id."""


_NAME: Final = "The order's id, or its workflow's: `order-` and the order id. An order id is looked for first."

OrderName = Annotated[
    str, StringConstraints(pattern=ORDER_NAME), Path(alias="order_id", description=_NAME, examples=["ord-1"])
]


async def _order_id(name: OrderName, services: Given) -> str:
    if not may_be_workflow_id(name):
        return name
    order_id = await services.orders.order_id_of(name)
    # The request's line in the log has the order's id, whichever the path has.
    bind_contextvars(order_id=order_id)
    return order_id


IdOfOrder = Annotated[str, Depends(_order_id)]

"""Id of the order that the path names by its id or its workflow's."""


WorkflowId = Annotated[str, StringConstraints(pattern=WORKFLOW_ID)]

"""Id of an order's workflow: `order-` and the order id."""


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same content answers the same; with another content it is 409.",
    ),
]


KEY_OF_CHANGE: Final = "The same key with the same change is one change; left out, the request's own id is the key."

KeyOfChange = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, description=KEY_OF_CHANGE)
]


def _request_id(request: Request, idempotency_key: KeyOfChange = None) -> str:
    return idempotency_key or str(getattr(request.state, "request_id", ""))


RequestId = Annotated[str, Depends(_request_id)]

"""What makes a change that is sent again the same change."""
