"""`GET /orders`: pages of the recorded orders, newest first."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, ValidationError

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import STATUS_EXAMPLE, example
from orderfleet.domain.listing import Cursor, OrderFilter, UtcDatetime
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.domain.strict_models import StrictModel

router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"], dependencies=[needs(Role.READ)])


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


_EXAMPLE: Final = {
    "orders": [{name: value for name, value in STATUS_EXAMPLE.items() if name != "source"}],
    "next": "eyJjcmVhdGVkX2F0IjoiMjAyNi0xMS0yMVQxMDoxMzowMS4yMTIwNTBaIiwib3JkZXJfaWQiOiJvcmQtMSJ9",
}


@router.get(
    "",
    summary="List orders",
    responses={**example(_EXAMPLE, description="A page of orders."), **error_responses(401, 403, 422, 503)},
)
async def orders(query: Annotated[OrderQuery, Query()], services: ServicesDependency) -> Orders:
    """List recorded orders, newest first. The cost of a page does not depend on the number of orders."""
    filters = OrderFilter(**query.model_dump(include=set(OrderFilter.model_fields)))
    page = await services.orders.page(filters, after=_decode_cursor(query.cursor), limit=query.limit)
    return Orders(orders=page.orders, next=_encode_cursor(page.next))


def _encode_cursor(cursor: Cursor | None) -> str | None:
    return None if cursor is None else base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def _decode_cursor(cursor: str | None) -> Cursor | None:
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return Cursor.model_validate_json(text)
    except (binascii.Error, ValidationError, ValueError):
        raise Unprocessable(["cursor: is not the `next` of a page; omit it to get the first page"]) from None
