"""Changes of an order as routes make them, whichever way they name the order.

`changes` calls it with order ids, `by_workflow` with those in workflow ids.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Request, Response
from structlog.contextvars import bind_contextvars

from orderfleet.api.access import Role, needs
from orderfleet.api.dependencies import Given, Services
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.order_input import Unprocessable, order_id_for, to_input
from orderfleet.api.problems import documented
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
    IdempotencyKey,
    IdOfOrder,
    NewAddress,
    NewOrder,
    NewOrderId,
    OrderTerms,
    RequestId,
    StartOrder,
    example,
)
from orderfleet.domain.names import order_workflow_id
from orderfleet.domain.order import Address, ReviewMode
from orderfleet.domain.validation import of_address
from orderfleet.observability.order_trace import begun_trace
from orderfleet.services.errors import ChangeResult, StartOutcome
from orderfleet.services.orders import SourcedStatus

RESPONSES: Final = {
    **example(CHANGED_EXAMPLE, description="The workflow took it."),
    **example(QUEUED_EXAMPLE, status=202, description="Queued: handled when a worker runs.", model=Changed),
    **documented(400, 401, 403, 404, 408, 409, 413, 422, 503, refusal="the package is already dispatched"),
}

"""What a route that changes an order answers."""


async def approve_order(services: Services, response: Response, order_id: str, request_id: str) -> Changed:
    """Approve the order. Raises as `OrderDesk.approve`."""
    return _changed(response, order_id, await services.orders.approve(order_id, request_id=request_id), "approved")


async def cancel_order(
    services: Services, response: Response, order_id: str, request_id: str, body: Cancel | None
) -> Changed:
    """Cancel the order. Raises as `OrderDesk.approve`."""
    reason = (body and body.reason) or "canceled on request"
    answer = await services.orders.cancel(order_id, reason, request_id=request_id)
    return _changed(response, order_id, answer, "canceled")


async def cancel_order_payment(
    services: Services, response: Response, order_id: str, request_id: str, body: Cancel | None
) -> Changed:
    """Cancel the payment and the order. Raises as `OrderDesk.approve`."""
    reason = (body and body.reason) or "payment canceled on request"
    answer = await services.orders.cancel_payment(order_id, reason, request_id=request_id)
    return _changed(response, order_id, answer, "canceled, its payment too")


async def change_order_address(
    services: Services, response: Response, order_id: str, request_id: str, address: Address
) -> Changed:
    """Send the package elsewhere. Raises as `OrderDesk.approve`.

    Raises:
        Unprocessable: the address is not whole.
    """
    wrong = of_address(address)
    if wrong:
        raise Unprocessable(wrong)
    answer = await services.orders.update_address(order_id, address, request_id=request_id)
    return _changed(response, order_id, answer, "going to the new address")


def _changed(response: Response, order_id: str, answer: ChangeResult, outcome: str) -> Changed:
    message = f"order {order_id} is {outcome}"
    if answer is ChangeResult.QUEUED:
        response.status_code = HTTPStatus.ACCEPTED
        message = f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then"
    return Changed(order_id=order_id, workflow_id=order_workflow_id(order_id), result=answer, message=message)


router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"])


_READ: Final = [needs(Role.READ)]

_OPERATE: Final = [needs(Role.OPERATE)]


_REPLAYED: Final[dict[str, Any]] = {
    "headers": {
        "Location": {"description": "Path of the order.", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "`true` when the same request had started the order before.",
            "schema": {"type": "string"},
        },
    }
}


_STARTED: Final = {
    **example(CREATED_EXAMPLE, status=201, description="Started.", **_REPLAYED),
    **documented(400, 401, 403, 408, 409, 413, 422, 503),
}

_STATUS: Final = {**example(STATUS_EXAMPLE, description="Where it stands."), **documented(401, 403, 404, 422, 503)}

_EVENTS: Final = {**example(EVENTS_EXAMPLE, description="Events, oldest first."), **documented(401, 403, 404, 422, 503)}


@router.post("", status_code=201, summary="Start an order", responses=_STARTED, dependencies=_OPERATE)
async def create(
    order: NewOrder, services: Given, response: Response, request: Request, idempotency_key: IdempotencyKey = None
) -> Created:
    """Start the order's workflow.

    The order id is the idempotency key: the same request again is the same order. Without one
    `Idempotency-Key` is, and an id is made from it; with neither, each request is another order.
    An order made here has no Kubernetes object.
    """
    return await _start(order, order_id_for(order, idempotency_key), services, response, request)


@router.post(
    "/{order_id}/start",
    status_code=201,
    summary="Start an order under an id",
    responses=_STARTED,
    dependencies=_OPERATE,
)
async def start(
    order_id: NewOrderId,
    services: Given,
    response: Response,
    request: Request,
    order: Annotated[StartOrder | None, Body()] = None,
) -> Created:
    """Start the order's workflow; the id in the path is the idempotency key.

    Items and address may be left out only where ORDERFLEET_SAMPLE_ORDERS is on.
    """
    return await _start(order or StartOrder(), order_id, services, response, request)


async def _start(order: OrderTerms, order_id: str, services: Services, response: Response, request: Request) -> Created:
    bind_contextvars(order_id=order_id)
    given = to_input(order, order_id, services.settings)
    started = await services.orders.start(given)
    if started.outcome is StartOutcome.STARTED and (own_trace := begun_trace(order_id)) is not None:
        # The request's line in the log leads to all that follows from it.
        bind_contextvars(trace_id=own_trace)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/orders/{order_id}"
    if started.outcome is StartOutcome.ADOPTED:
        response.headers["Idempotency-Replayed"] = "true"
    waits = given.review.mode is ReviewMode.MANUAL and not given.approved
    return Created(
        order_id=order_id,
        workflow_id=started.workflow_id,
        run_id=started.run_id,
        payment_id=given.payment_id,
        message=f"order {order_id} is started; {'it waits for approval' if waits else 'it needs no approval'}",
    )


@router.get("/{order_id}", summary="One order, as recorded", responses=_STATUS, dependencies=_READ)
async def read(order_id: IdOfOrder, services: Given) -> SourcedStatus:
    """Answer from the record; from the workflow when it isn't recorded yet."""
    return await services.orders.recorded(order_id)


@router.get("/{order_id}/status", summary="One order, live", responses=_STATUS, dependencies=_READ)
async def status(order_id: IdOfOrder, services: Given) -> SourcedStatus:
    """Ask the workflow; the record answers when the workflow can't be asked, and `source` says so."""
    return await services.orders.live(order_id)


@router.get("/{order_id}/events", summary="The audit trail", responses=_EVENTS, dependencies=_READ)
async def events(
    order_id: IdOfOrder,
    services: Given,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only events after this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events in one answer at most.")] = 100,
) -> Events:
    """Every step, retry, signal and error, oldest first."""
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


_ANOTHER_NAME: Final = "The same as `signals/update-address`."

Reason = Annotated[Cancel | None, Body()]


@changes_router.post("/signals/approve", summary="Approve the order")
async def approve(order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId) -> Changed:
    """Let the order go on to the charge; approved again, it stays approved."""
    return await approve_order(services, response, order_id, request_id)


@changes_router.post("/cancel", summary="Cancel the order")
@changes_router.post("/signals/cancel", summary="Cancel the order")
async def cancel(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: Reason = None
) -> Changed:
    """Cancel and undo: what was charged is refunded. Refused once the package is dispatched."""
    return await cancel_order(services, response, order_id, request_id, body)


@changes_router.post("/signals/cancel-payment", summary="Cancel the payment")
async def cancel_payment(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: Reason = None
) -> Changed:
    """Cancel the payment, and so the order: before the charge nothing is taken, after it all is refunded."""
    return await cancel_order_payment(services, response, order_id, request_id, body)


@changes_router.post("/signals/update-address", summary="Send the package elsewhere")
@changes_router.post("/signals/address", summary="Send the package elsewhere", description=_ANOTHER_NAME)
async def update_address(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: NewAddress
) -> Changed:
    """Change the address; the last one wins. Refused once the package is on its way."""
    return await change_order_address(services, response, order_id, request_id, body.address)
