"""`/orders/{id}/payment/retry`: capture the payment of a held order again."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi import Body as RequestBody
from pydantic import Field

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.orders import Changes
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import CHANGED_EXAMPLE, QUEUED_EXAMPLE, Body, Changed, ResolvedOrderId, example
from orderfleet.domain.order import PaymentMethod

_NOT_HELD: Final = "the order does not wait for its payment to be captured"
_ACCEPTED: Final[dict[str, Any]] = {**CHANGED_EXAMPLE, "message": "order ord-1 is capturing its payment again"}
_QUEUED: Final[dict[str, Any]] = {
    **QUEUED_EXAMPLE,
    "message": "no worker answered; order ord-1 will be capturing its payment again when one runs, unless it is too"
    " late then",
}

router = APIRouter(
    route_class=GuardedRoute,
    prefix="/orders/{order_id}/payment",
    tags=["changes"],
    dependencies=[needs(Role.OPERATE)],
)


class Retry(Body):
    """How the payment is captured again."""

    method: PaymentMethod = Field(
        default="",
        description="Pay with this method from now on: the payment provider's token of the customer's means of payment."
        " Without it, the method stays.",
        examples=["pm_card_visa"],
    )


@router.post(
    "/retry",
    summary="Capture the payment of a held order again",
    responses={
        **example(_ACCEPTED, description="The order captures its payment again."),
        **example(_QUEUED, status=202, description="Queued: the change is handled when a worker runs.", model=Changed),
        **error_responses(400, 401, 403, 404, 408, 409, 413, 422, 503, rejection=_NOT_HELD),
    },
)
async def retry(
    order_id: ResolvedOrderId, changes: Changes, body: Annotated[Retry | None, RequestBody()] = None
) -> Changed:
    """Capture the payment again, also with another method; rejected for an order without a hold.

    An order is held with `payment_required` or `capture_unknown`.
    """
    return await changes.retry_payment(order_id, body.method if body else "")
