"""`/orders`: start, list, read and change orders by order id or workflow id."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field
from structlog.contextvars import bind_contextvars

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.cursors import decode_cursor, encode_cursor
from orderfleet.api.dependencies import Services, ServicesDependency
from orderfleet.api.order_input import Unprocessable, order_id_for, to_input
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import (
    CHANGED_EXAMPLE,
    CREATED_EXAMPLE,
    EVENTS_EXAMPLE,
    QUEUED_EXAMPLE,
    STATUS_EXAMPLE,
    Cancel,
    Changed,
    Created,
    Events,
    NewAddress,
    NewOrder,
    NewOrderId,
    OrderTerms,
    ResolvedOrderId,
    StartOrder,
    example,
)
from orderfleet.domain.address_rules import is_blank
from orderfleet.domain.names import order_workflow_id
from orderfleet.domain.order import Address, ReviewMode
from orderfleet.domain.status import Cursor, OrderFilter, OrderStatus, Step, UtcDatetime
from orderfleet.domain.strict_models import StrictModel
from orderfleet.domain.validation import split_address_problems
from orderfleet.observability.tracing import derived_trace_id
from orderfleet.services.errors import ChangeResult, OrderChangeRejected, SourcedStatus, StartOutcome
from orderfleet.services.workflow_client import Change

RESPONSES: Final = {
    **example(CHANGED_EXAMPLE, description="The workflow accepted the change."),
    **example(
        QUEUED_EXAMPLE, status=202, description="Queued: the change is handled when a worker runs.", model=Changed
    ),
    **error_responses(400, 401, 403, 404, 408, 409, 413, 422, 503, rejection="the package is already dispatched"),
}
"""Responses of a route that changes an order."""


def _idempotency_key(description: str) -> Any:
    return Header(alias="Idempotency-Key", min_length=1, max_length=255, description=description)


IdempotencyKey = Annotated[
    str | None,
    _idempotency_key("The same key with the same content returns the same order; with other content it is 409."),
]

ChangeKey = Annotated[
    str | None, _idempotency_key("The same change with the same key is applied once; default: the `X-Request-ID`.")
]


def _request_id(request: Request, idempotency_key: ChangeKey = None) -> str:
    return idempotency_key or str(getattr(request.state, "request_id", ""))


RequestId = Annotated[str, Depends(_request_id)]
"""Deduplication key of a change."""


@dataclass(frozen=True)
class OrderChanges:
    """Sends the change of one request to the order's workflow, and describes the result."""

    services: Services
    response: Response
    request_id: str

    async def approve(self, order_id: str) -> Changed:
        """Approve the order."""
        return await self._send(order_id, Change.approve(), "approved")

    async def cancel(self, order_id: str, body: Cancel | None) -> Changed:
        """Cancel the order."""
        reason = (body and body.reason) or "canceled on request"
        return await self._send(order_id, Change.cancel(reason), "canceled")

    async def cancel_payment(self, order_id: str, body: Cancel | None) -> Changed:
        """Cancel the payment and the order."""
        reason = (body and body.reason) or "payment canceled on request"
        return await self._send(order_id, Change.cancel_payment(reason), "canceled, its payment too")

    async def retry_payment(self, order_id: str, method: str) -> Changed:
        """Capture the payment of a held order again, with `method` if it is not empty."""
        return await self._send(order_id, Change.retry_payment(method), "capturing its payment again")

    async def update_address(self, order_id: str, address: Address) -> Changed:
        """Change the address of the order.

        Raises:
            Unprocessable: the address is incomplete, by the checks that the order started with.
        """
        # The order's workflow has its checks; without a street, every check rejects an address.
        if is_blank(address.street):
            raise Unprocessable(["address.street: is empty; fill it in"])
        try:
            return await self._send(order_id, Change.update_address(address), "going to the new address")
        except OrderChangeRejected as rejected:
            problems = split_address_problems(str(rejected))
            if problems is None:
                raise
            raise Unprocessable(problems) from rejected

    async def _send(self, order_id: str, change: Change, outcome: str) -> Changed:
        result = await self.services.orders.change(order_id, change, request_id=self.request_id)
        message = f"order {order_id} is {outcome}"
        if result is ChangeResult.QUEUED:
            self.response.status_code = HTTPStatus.ACCEPTED
            message = (
                f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then"
            )
        return Changed(order_id=order_id, workflow_id=order_workflow_id(order_id), result=result, message=message)


def _changes(services: ServicesDependency, response: Response, request_id: RequestId) -> OrderChanges:
    return OrderChanges(services, response, request_id)


Changes = Annotated[OrderChanges, Depends(_changes)]

router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"])

_READ: Final = [needs(Role.READ)]
_OPERATE: Final = [needs(Role.OPERATE)]


_START_HEADERS: Final[dict[str, Any]] = {
    "headers": {
        "Location": {"description": "Path of the order.", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "`true` if the same request started the order before.",
            "schema": {"type": "string"},
        },
    }
}

_STARTED: Final = {
    **example(CREATED_EXAMPLE, status=201, description="Started.", **_START_HEADERS),
    **error_responses(400, 401, 403, 408, 409, 413, 422, 503),
}

STATUS_RESPONSES: Final = {
    **example(STATUS_EXAMPLE, description="The status."),
    **error_responses(401, 403, 404, 422, 503),
}

_EVENTS: Final = {
    **example(EVENTS_EXAMPLE, description="Events, oldest first."),
    **error_responses(401, 403, 404, 422, 503),
}


class OrderQuery(StrictModel):
    """Filters and page; an unknown parameter is rejected, because it would not filter."""

    step: Step | None = Field(default=None, description="Only orders at this step.")
    customer_email: str | None = Field(
        default=None, max_length=320, description="Only this customer's orders: the exact address, case-insensitive."
    )
    reference: str | None = Field(
        default=None, max_length=255, description="Only orders with exactly this reference of the shop."
    )
    created_from: UtcDatetime | None = Field(
        default=None, description="Only orders started at or after this time, such as `2026-11-21T10:00:00Z`."
    )
    created_before: UtcDatetime | None = Field(default=None, description="Only orders started before this time.")
    limit: int = Field(default=50, ge=1, le=200, description="Maximum number of orders in the page.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=500, description="`next` of the previous page; default: the first page."
    )


class Orders(BaseModel):
    """A page of orders, newest first."""

    orders: tuple[OrderStatus, ...]
    next: str | None = Field(description="`cursor` of the next page, with the same filters; null at the end.")


_PAGE_EXAMPLE: Final = {
    "orders": [{name: value for name, value in STATUS_EXAMPLE.items() if name != "source"}],
    "next": "eyJjcmVhdGVkX2F0IjoiMjAyNi0xMS0yMVQxMDoxMzowMS4yMTIwNTBaIiwib3JkZXJfaWQiOiJvcmQtMSJ9",
}


@router.get(
    "",
    summary="List orders",
    responses={**example(_PAGE_EXAMPLE, description="A page of orders."), **error_responses(401, 403, 422, 503)},
    dependencies=_READ,
)
async def orders(query: Annotated[OrderQuery, Query()], services: ServicesDependency) -> Orders:
    """List recorded orders, newest first. The cost of a page does not depend on the number of orders."""
    filters = OrderFilter(**query.model_dump(include=set(OrderFilter.model_fields)))
    page = await services.orders.page(filters, after=decode_cursor(Cursor, query.cursor), limit=query.limit)
    return Orders(orders=page.orders, next=encode_cursor(page.next))


@router.post("", status_code=201, summary="Start an order", responses=_STARTED, dependencies=_OPERATE)
async def create(
    order: NewOrder,
    services: ServicesDependency,
    response: Response,
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Created:
    """Start the order's workflow.

    The order id is the idempotency key: sending the same request again returns the same order. Without an order id, one
    is derived from `Idempotency-Key`; without either, each request starts another order. The order has no Kubernetes
    object.
    """
    return await _start(order, order_id_for(order, idempotency_key), services, response, request)


@router.post(
    "/{order_id}/start",
    status_code=201,
    summary="Start an order with a given id",
    responses=_STARTED,
    dependencies=_OPERATE,
)
async def start(
    order_id: NewOrderId,
    services: ServicesDependency,
    response: Response,
    request: Request,
    order: Annotated[StartOrder | None, Body()] = None,
) -> Created:
    """Start the order's workflow; the id in the path is the idempotency key.

    Items and address may be omitted only if ORDERFLEET_SAMPLE_ORDERS is on.
    """
    return await _start(order or StartOrder(), order_id, services, response, request)


async def _start(order: OrderTerms, order_id: str, services: Services, response: Response, request: Request) -> Created:
    bind_contextvars(order_id=order_id)
    order_input = to_input(order, order_id, services.settings)
    started = await services.orders.start(order_input)
    if started.outcome is StartOutcome.STARTED and (order_trace := derived_trace_id(order_id)) is not None:
        # The log entry of the request has the id of the order's trace.
        bind_contextvars(trace_id=order_trace)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/orders/{order_id}"
    if started.outcome is StartOutcome.ADOPTED:
        response.headers["Idempotency-Replayed"] = "true"
    needs_approval = order_input.review.mode is ReviewMode.MANUAL and not order_input.approved
    message = f"order {order_id} is started; {'it waits for approval' if needs_approval else 'it needs no approval'}"
    return Created(**dict(started), payment_id=order_input.payment_id, message=message)


@router.get("/{order_id}", summary="Read the recorded status", responses=STATUS_RESPONSES, dependencies=_READ)
async def read(order_id: ResolvedOrderId, services: ServicesDependency) -> SourcedStatus:
    """The status from the order store, or from the workflow if the order isn't recorded yet."""
    return await services.orders.recorded(order_id)


@router.get("/{order_id}/status", summary="Read the live status", responses=STATUS_RESPONSES, dependencies=_READ)
async def status(order_id: ResolvedOrderId, services: ServicesDependency) -> SourcedStatus:
    """The status from the workflow, or from the order store if the workflow does not answer; `source` names which."""
    return await services.orders.live(order_id)


@router.get("/{order_id}/events", summary="Read the audit trail", responses=_EVENTS, dependencies=_READ)
async def events(
    order_id: ResolvedOrderId,
    services: ServicesDependency,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only events after this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of events in the page.")] = 100,
) -> Events:
    """Steps, retries, signals and errors of the order, oldest first."""
    found = await services.orders.events(order_id, after=after, limit=limit)
    more = len(found) == limit
    return Events(order_id=order_id, events=found, next_after=found[-1].id if more else None)


changes_router = APIRouter(
    prefix="/orders/{order_id}",
    tags=["changes"],
    dependencies=[needs(Role.OPERATE)],
    responses=RESPONSES,
    route_class=GuardedRoute,
)

Reason = Annotated[Cancel | None, Body()]


@changes_router.post("/signals/approve", summary="Approve the order")
async def approve(order_id: ResolvedOrderId, changes: Changes) -> Changed:
    """Approve the order, which is then charged. Approving it again has no effect."""
    return await changes.approve(order_id)


@changes_router.post("/cancel", summary="Cancel the order")
@changes_router.post("/signals/cancel", summary="Cancel the order")
async def cancel(order_id: ResolvedOrderId, changes: Changes, body: Reason = None) -> Changed:
    """Cancel the order and refund what was charged. Rejected after the package is dispatched."""
    return await changes.cancel(order_id, body)


@changes_router.post("/signals/cancel-payment", summary="Cancel the payment")
async def cancel_payment(order_id: ResolvedOrderId, changes: Changes, body: Reason = None) -> Changed:
    """Cancel the payment and the order: before the charge nothing is charged, after it everything is refunded."""
    return await changes.cancel_payment(order_id, body)


@changes_router.post("/signals/update-address", summary="Change the address")
@changes_router.post("/signals/address", summary="Change the address", description="Alias of `signals/update-address`.")
async def update_address(order_id: ResolvedOrderId, changes: Changes, body: NewAddress) -> Changed:
    """Change the address; the last change has precedence. Rejected after the package is dispatched."""
    return await changes.update_address(order_id, body.address)
