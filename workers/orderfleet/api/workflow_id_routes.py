"""`/signals/…` and `/status/{workflow_id}`: routes of `/orders` for callers that store workflow ids."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import Field
from structlog.contextvars import bind_contextvars

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.orders import RESPONSES, STATUS_RESPONSES, Changes
from orderfleet.api.schemas import Body, Cancel, Changed, NewAddress, WorkflowId
from orderfleet.domain.names import order_id_of
from orderfleet.services.errors import SourcedStatus

router = APIRouter(route_class=GuardedRoute, tags=["by workflow id"])

_OPERATE: Final = [needs(Role.OPERATE)]

_WORKFLOW_ID_FIELD: Final = Field(description="`order-` and the order id.", examples=["order-ord-1"])


class Approval(Body):
    """The order to approve."""

    workflow_id: WorkflowId = _WORKFLOW_ID_FIELD


class Cancellation(Cancel):
    """The order to cancel, and the reason."""

    workflow_id: WorkflowId = _WORKFLOW_ID_FIELD


class AddressChange(NewAddress):
    """The order and its new address."""

    workflow_id: WorkflowId = _WORKFLOW_ID_FIELD


@router.post("/signals/approve", summary="Approve the order", responses=RESPONSES, dependencies=_OPERATE)
async def approve(body: Approval, changes: Changes) -> Changed:
    """Approve the order, which is then charged."""
    return await changes.approve(_order_id(body.workflow_id))


@router.post("/signals/cancel", summary="Cancel the order", responses=RESPONSES, dependencies=_OPERATE)
async def cancel(body: Cancellation, changes: Changes) -> Changed:
    """Cancel the order and refund what was charged."""
    return await changes.cancel(_order_id(body.workflow_id), body)


@router.post("/signals/update-address", summary="Change the address", responses=RESPONSES, dependencies=_OPERATE)
async def update_address(body: AddressChange, changes: Changes) -> Changed:
    """Change the address; the last change has precedence."""
    return await changes.update_address(_order_id(body.workflow_id), body.address)


@router.get(
    "/status/{workflow_id}",
    summary="Read the live status",
    responses=STATUS_RESPONSES,
    dependencies=[needs(Role.READ)],
)
async def status(
    workflow_id: Annotated[WorkflowId, Path(description="The order's workflow id.", examples=["order-ord-1"])],
    services: ServicesDependency,
) -> SourcedStatus:
    """The status from the workflow, or from the order store if the workflow does not answer; `source` names which."""
    return await services.orders.live(_order_id(workflow_id))


def _order_id(workflow_id: str) -> str:
    order_id = order_id_of(workflow_id)
    bind_contextvars(order_id=order_id)
    return order_id
