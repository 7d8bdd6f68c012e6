"""`/orders`: start an order and see where it stands."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Request, Response
from structlog.contextvars import bind_contextvars

from orderfleet.api.answers import CREATED_EXAMPLE, EVENTS_EXAMPLE, STATUS_EXAMPLE, Created, Events, example
from orderfleet.api.auth.access import Role, needs
from orderfleet.api.guarded import GuardedRoute
from orderfleet.api.intake import order_id_for, to_input
from orderfleet.api.models import NewOrder, OrderTerms, StartOrder
from orderfleet.api.parameters import IdempotencyKey, IdOfOrder, NewOrderId
from orderfleet.api.problems import documented
from orderfleet.api.services import Given, Services
from orderfleet.client import SourcedStatus, StartOutcome
from orderfleet.contracts.order import ReviewMode
from orderfleet.telemetry.order_trace import begun_trace

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
    started = await services.desk.start(given)
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
    return await services.desk.recorded(order_id)


@router.get("/{order_id}/status", summary="One order, live", responses=_STATUS, dependencies=_READ)
async def status(order_id: IdOfOrder, services: Given) -> SourcedStatus:
    """Ask the workflow; the record answers when the workflow can't be asked, and `source` says so."""
    return await services.desk.live(order_id)


@router.get("/{order_id}/events", summary="The audit trail", responses=_EVENTS, dependencies=_READ)
async def events(
    order_id: IdOfOrder,
    services: Given,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only events after this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events in one answer at most.")] = 100,
) -> Events:
    """Every step, retry, signal and error, oldest first."""
    found = await services.desk.events(order_id, after=after, limit=limit)
    more = len(found) == limit
    return Events(order_id=order_id, events=found, next_after=found[-1].id if more else None)
