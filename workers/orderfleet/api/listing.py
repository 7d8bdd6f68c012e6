"""`GET /orders`: the recorded orders, newest first, a page at a time."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, ValidationError

from orderfleet.api.access import Role, needs
from orderfleet.api.dependencies import Given
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.problems import documented
from orderfleet.api.schemas import STATUS_EXAMPLE, example
from orderfleet.domain.listing import Cursor, OrderFilter, UtcDatetime
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.domain.strict_models import StrictModel

router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"], dependencies=[needs(Role.READ)])


class Wanted(StrictModel):
    """Which orders, and which page of them; an unknown parameter is refused, because it would filter nothing."""

    step: Step | None = Field(default=None, description="Only orders at this step.")
    customer_email: str | None = Field(
        default=None, max_length=320, description="Only this customer's orders: the whole address, in any case."
    )
    created_from: UtcDatetime | None = Field(
        default=None, description="Only orders started at this time or later: `2026-11-21T10:00:00Z`."
    )
    created_before: UtcDatetime | None = Field(default=None, description="Only orders started before this time.")
    limit: int = Field(default=50, ge=1, le=200, description="Orders in one answer at most.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=500, description="`next` of the page before; left out: the first page."
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
    responses={**example(_EXAMPLE, description="A page of orders."), **documented(401, 403, 422, 503)},
)
async def orders(wanted: Annotated[Wanted, Query()], services: Given) -> Orders:
    """List recorded orders, newest first; a page costs the same however many there are."""
    chosen = OrderFilter(**wanted.model_dump(include=set(OrderFilter.model_fields)))
    page = await services.orders.page(chosen, after=_place(wanted.cursor), limit=wanted.limit)
    return Orders(orders=page.orders, next=_cursor(page.next))


def _cursor(place: Cursor | None) -> str | None:
    return None if place is None else base64.urlsafe_b64encode(place.model_dump_json().encode()).decode().rstrip("=")


def _place(cursor: str | None) -> Cursor | None:
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return Cursor.model_validate_json(text)
    except (binascii.Error, ValidationError, ValueError):
        raise Unprocessable(["cursor: is not the `next` of a page; leave it out to begin anew"]) from None
