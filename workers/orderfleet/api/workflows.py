"""`/signals/…` and `/status/{workflow_id}`: the same as under `/orders`, for callers that keep workflow ids."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field
from structlog.contextvars import bind_contextvars

from orderfleet.api import orders
from orderfleet.api.access import Role, needs
from orderfleet.api.dependencies import Given
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.problems import documented
from orderfleet.api.schemas import STATUS_EXAMPLE, Body, Cancel, Changed, NewAddress, RequestId, WorkflowId, example
from orderfleet.domain.names import order_id_of
from orderfleet.services.orders import SourcedStatus

router = APIRouter(route_class=GuardedRoute, tags=["by workflow id"])

_READ: Final = [needs(Role.READ)]
_OPERATE: Final = [needs(Role.OPERATE)]

_NAMED: Final = Field(description="`order-` and the order id.", examples=["order-ord-1"])


class Approval(Body):
    """Which order to approve."""

    workflow_id: WorkflowId = _NAMED


class Cancellation(Cancel):
    """Which order to cancel, and why."""

    workflow_id: WorkflowId = _NAMED


class Redirection(NewAddress):
    """Which order goes elsewhere, and where."""

    workflow_id: WorkflowId = _NAMED


@router.post("/signals/approve", summary="Approve the order", responses=orders.RESPONSES, dependencies=_OPERATE)
async def approve(body: Approval, services: Given, response: Response, request_id: RequestId) -> Changed:
    """Let the order go on to the charge."""
    return await orders.approve_order(services, response, _order(body.workflow_id), request_id)


@router.post("/signals/cancel", summary="Cancel the order", responses=orders.RESPONSES, dependencies=_OPERATE)
async def cancel(body: Cancellation, services: Given, response: Response, request_id: RequestId) -> Changed:
    """Cancel and undo: what was charged is refunded."""
    return await orders.cancel_order(services, response, _order(body.workflow_id), request_id, body)


@router.post(
    "/signals/update-address", summary="Send the package elsewhere", responses=orders.RESPONSES, dependencies=_OPERATE
)
async def update_address(body: Redirection, services: Given, response: Response, request_id: RequestId) -> Changed:
    """Change the address; the last one wins."""
    return await orders.change_order_address(services, response, _order(body.workflow_id), request_id, body.address)


@router.get(
    "/status/{workflow_id}",
    summary="One order, live",
    responses={**example(STATUS_EXAMPLE, description="Where it stands."), **documented(401, 403, 404, 422, 503)},
    dependencies=_READ,
)
async def status(
    workflow_id: Annotated[WorkflowId, Path(description="The order's workflow id.", examples=["order-ord-1"])],
    services: Given,
) -> SourcedStatus:
    """Ask the workflow; the record answers when the workflow can't be asked, and `source` says so."""
    return await services.orders.live(_order(workflow_id))


def _order(workflow_id: str) -> str:
    order_id = order_id_of(workflow_id)
    bind_contextvars(order_id=order_id)
    return order_id
