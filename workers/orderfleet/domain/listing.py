"""What a listing of orders asks for and what one page of it is.

The API and the command line ask, the store answers. Newest first, always: the filters and the place
in the listing are all that changes.
"""

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
        msg = "is beyond the years 1 to 9999"
        raise ValueError(msg) from None


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, kept in UTC."""


class OrderFilter(Contract):
    """Which orders to list; what is None filters nothing."""

    step: Step | None = None
    customer_email: str | None = None
    """The whole address; upper and lower case are the same."""
    created_from: UtcDatetime | None = None
    """Started at this time or later."""
    created_before: UtcDatetime | None = None
    """Started before this time."""


class Cursor(Contract):
    """A place in a listing: just after this order, which need not be there any more."""

    created_at: UtcDatetime
    order_id: OrderId


class OrderPage(Contract):
    """One page of a listing, newest first."""

    orders: tuple[OrderStatus, ...]
    next: Cursor | None = None
    """Where the next page begins; None at the end."""
