"""`/orders/{id}/cancel` and `/orders/{id}/signals/…`: change an order that runs.

Each is an update that waits for the workflow's answer; with no worker in time the same change
stands as a signal and the answer is 202.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body, Response

from orderfleet.api import outcomes
from orderfleet.api.answers import Changed
from orderfleet.api.auth.access import Role, needs
from orderfleet.api.guarded import GuardedRoute
from orderfleet.api.models import Cancel, NewAddress
from orderfleet.api.parameters import IdOfOrder, RequestId
from orderfleet.api.services import Given

router = APIRouter(
    prefix="/orders/{order_id}",
    tags=["changes"],
    dependencies=[needs(Role.OPERATE)],
    responses=outcomes.RESPONSES,
    route_class=GuardedRoute,
)

_ANOTHER_NAME: Final = "The same as `signals/update-address`."
Reason = Annotated[Cancel | None, Body()]


@router.post("/signals/approve", summary="Approve the order")
async def approve(order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId) -> Changed:
    """Let the order go on to the charge; approved again, it stays approved."""
    return await outcomes.approve(services, response, order_id, request_id)


@router.post("/cancel", summary="Cancel the order")
@router.post("/signals/cancel", summary="Cancel the order")
async def cancel(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: Reason = None
) -> Changed:
    """Cancel and undo: what was charged is refunded. Refused once the package is dispatched."""
    return await outcomes.cancel(services, response, order_id, request_id, body)


@router.post("/signals/cancel-payment", summary="Cancel the payment")
async def cancel_payment(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: Reason = None
) -> Changed:
    """Cancel the payment, and so the order: before the charge nothing is taken, after it all is refunded."""
    return await outcomes.cancel_payment(services, response, order_id, request_id, body)


@router.post("/signals/update-address", summary="Send the package elsewhere")
@router.post("/signals/address", summary="Send the package elsewhere", description=_ANOTHER_NAME)
async def update_address(
    order_id: IdOfOrder, services: Given, response: Response, request_id: RequestId, body: NewAddress
) -> Changed:
    """Change the address; the last one wins. Refused once the package is on its way."""
    return await outcomes.update_address(services, response, order_id, request_id, body.address)
