"""`/orders/{id}/signals/…`: change an order that runs.

Each is an update that waits for the workflow's answer; with no worker in time the same change
stands as a signal and the answer is 202.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Response

from orderfleet.api.answers import Changed
from orderfleet.api.intake import Unprocessable
from orderfleet.api.models import Cancel, NewAddress
from orderfleet.api.problems import documented
from orderfleet.api.routes import IdempotencyKey, IdOfOrder
from orderfleet.api.services import Given
from orderfleet.client import Answer
from orderfleet.contracts.names import order_workflow_id
from orderfleet.orders.validation import of_address

router = APIRouter(
    prefix="/orders/{order_id}/signals",
    tags=["changes"],
    responses={
        202: {"model": Changed, "description": "Queued: handled when a worker runs."},
        **documented(400, 404, 409, 422, 503),
    },
)


@router.post("/approve", summary="Approve the order")
async def approve(
    order_id: IdOfOrder, services: Given, response: Response, idempotency_key: IdempotencyKey = None
) -> Changed:
    """Let the order go on to the charge; approved again, it stays approved."""
    answer = await services.desk.approve(order_id, request_id=idempotency_key or "")
    return _changed(response, order_id, answer, "approved")


@router.post("/cancel", summary="Cancel the order")
async def cancel(
    order_id: IdOfOrder,
    services: Given,
    response: Response,
    body: Annotated[Cancel | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> Changed:
    """Cancel and undo: what was charged is refunded. Refused once the package is dispatched."""
    reason = (body.reason if body else "") or "canceled on request"
    answer = await services.desk.cancel(order_id, reason, request_id=idempotency_key or "")
    return _changed(response, order_id, answer, "canceled")


@router.post("/update-address", summary="Send the package elsewhere")
async def update_address(
    order_id: IdOfOrder,
    services: Given,
    response: Response,
    body: NewAddress,
    idempotency_key: IdempotencyKey = None,
) -> Changed:
    """Change the address; the last one wins. Refused once the package is on its way."""
    wrong = of_address(body.address)
    if wrong:
        raise Unprocessable(wrong)
    answer = await services.desk.update_address(order_id, body.address, request_id=idempotency_key or "")
    return _changed(response, order_id, answer, "going to the new address")


def _changed(response: Response, order_id: str, answer: Answer, outcome: str) -> Changed:
    message = f"order {order_id} is {outcome}"
    if answer is Answer.QUEUED:
        response.status_code = HTTPStatus.ACCEPTED
        message = f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then"
    return Changed(order_id=order_id, workflow_id=order_workflow_id(order_id), result=answer, message=message)
