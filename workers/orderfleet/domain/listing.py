"""Filter, cursor and page of a listing of orders, which is always sorted from newest to oldest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

from orderfleet.domain.base import Contract, OrderId
from orderfleet.domain.status import OrderStatus, Step


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the years 1 to 9999") from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with a time zone, converted to UTC."""


class OrderFilter(Contract):
    """Which orders to list; a field that is None does not filter."""

    step: Step | None = None
    customer_email: str | None = None
    """The whole address; case is ignored."""
    reference: str | None = None
    """The whole reference, exactly."""
    created_from: UtcDatetime | None = None
    """Lists orders that started at this time or later."""
    created_before: UtcDatetime | None = None
    """Lists orders that started before this time."""


class Cursor(Contract):
    """Position in a listing, directly after this order, which may have been deleted."""

    created_at: UtcDatetime
    order_id: OrderId


class OrderPage(Contract):
    """One page of a listing, newest first."""

    orders: tuple[OrderStatus, ...]
    next: Cursor | None = None
    """Cursor of the next page; None on the last one."""
