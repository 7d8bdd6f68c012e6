"""Changes of an order as routes make them, whichever way they name the order.

`changes` calls it with order ids, `by_workflow` with those in workflow ids.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import Response

from orderfleet.api.answers import CHANGED_EXAMPLE, QUEUED_EXAMPLE, Changed, example
from orderfleet.api.intake import Unprocessable
from orderfleet.api.models import Cancel
from orderfleet.api.problems import documented
from orderfleet.api.services import Services
from orderfleet.client import Answer
from orderfleet.contracts.names import order_workflow_id
from orderfleet.contracts.order import Address
from orderfleet.orders.validation import of_address

RESPONSES: Final = {
    **example(CHANGED_EXAMPLE, description="The workflow took it."),
    **example(QUEUED_EXAMPLE, status=202, description="Queued: handled when a worker runs.", model=Changed),
    **documented(400, 401, 403, 404, 408, 409, 413, 422, 503, refusal="the package is already dispatched"),
}
"""What a route that changes an order answers."""


async def approve(services: Services, response: Response, order_id: str, request_id: str) -> Changed:
    """Approve the order. Raises as `OrderDesk.approve`."""
    return _changed(response, order_id, await services.desk.approve(order_id, request_id=request_id), "approved")


async def cancel(
    services: Services, response: Response, order_id: str, request_id: str, body: Cancel | None
) -> Changed:
    """Cancel the order. Raises as `OrderDesk.approve`."""
    reason = (body and body.reason) or "canceled on request"
    answer = await services.desk.cancel(order_id, reason, request_id=request_id)
    return _changed(response, order_id, answer, "canceled")


async def cancel_payment(
    services: Services, response: Response, order_id: str, request_id: str, body: Cancel | None
) -> Changed:
    """Cancel the payment and the order. Raises as `OrderDesk.approve`."""
    reason = (body and body.reason) or "payment canceled on request"
    answer = await services.desk.cancel_payment(order_id, reason, request_id=request_id)
    return _changed(response, order_id, answer, "canceled, its payment too")


async def update_address(
    services: Services, response: Response, order_id: str, request_id: str, address: Address
) -> Changed:
    """Send the package elsewhere. Raises as `OrderDesk.approve`.

    Raises:
        Unprocessable: the address is not whole.
    """
    wrong = of_address(address)
    if wrong:
        raise Unprocessable(wrong)
    answer = await services.desk.update_address(order_id, address, request_id=request_id)
    return _changed(response, order_id, answer, "going to the new address")


def _changed(response: Response, order_id: str, answer: Answer, outcome: str) -> Changed:
    message = f"order {order_id} is {outcome}"
    if answer is Answer.QUEUED:
        response.status_code = HTTPStatus.ACCEPTED
        message = f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then"
    return Changed(order_id=order_id, workflow_id=order_workflow_id(order_id), result=answer, message=message)
