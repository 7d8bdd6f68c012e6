"""What holds for an order that says nothing else, taken into its workflow as it starts."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.order import Delivery, Review, ReviewMode, ReviewTimeoutAction
from orderfleet.runtime.settings.base import Group


class OrderSettings(Group):
    """Defaults of an order."""

    review_mode: ReviewMode = Field(default=ReviewMode.MANUAL, description="Default of an order's `review.mode`.")
    review_timeout: Duration = Field(
        default=parse_duration("24h"), gt=timedelta(0), description="Default of an order's `review.timeout`."
    )
    review_on_timeout: ReviewTimeoutAction = Field(
        default=ReviewTimeoutAction.CANCEL, description="Default of an order's `review.onTimeout`."
    )
    order_deadline: Duration | None = Field(
        default=None, gt=timedelta(0), description="Default of an order's `deadline`; unset is none."
    )
    order_execution_timeout: Duration | None = Field(
        default=None,
        gt=timedelta(0),
        description="Temporal's own time-out of an order's workflow, for tests and demos: it undoes nothing"
        " by itself. Unset is none; `deadline` is what cancels and undoes.",
    )
    delivery_confirm: bool = Field(default=False, description="Default of an order's `delivery.confirm`.")
    delivery_timeout: Duration = Field(
        default=parse_duration("336h"), gt=timedelta(0), description="Default of an order's `delivery.timeout`."
    )
    require_prices: bool | None = Field(
        default=None,
        description="Refuse an order with an item that has no price; `false` counts such an item 1.00. Unset: `true`,"
        " and `false` where `ORDERFLEET_SAMPLE_ORDERS` is on.",
    )
    sample_orders: bool = Field(
        default=False, description="Stand in a sample item and address for what a request leaves out. Local only."
    )

    def prices_required(self) -> bool:
        """Whether an item without a price is an error."""
        return not self.sample_orders if self.require_prices is None else self.require_prices

    def review(self) -> Review:
        """Review terms of an order that names none."""
        return Review(mode=self.review_mode, timeout=self.review_timeout, on_timeout=self.review_on_timeout)

    def delivery(self) -> Delivery:
        """Delivery terms of an order that names none."""
        return Delivery(confirm=self.delivery_confirm, timeout=self.delivery_timeout)
