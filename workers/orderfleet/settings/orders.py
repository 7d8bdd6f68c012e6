"""What holds for an order that says nothing else, taken into its workflow as it starts."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orderfleet.domain.durations import Duration, parse_duration
from orderfleet.domain.order import Delivery, Review, ReviewMode, ReviewTimeoutAction
from orderfleet.domain.policy import Attempts, Backoff, OutagePolicy, ShippingAttempts, StepPolicy
from orderfleet.settings.base import Group


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


class StepSettings(Group):
    """Settings of the steps, and the policies they make."""

    step_attempts: Attempts = Field(default=3, description="Attempts of each step.")
    step_initial_interval: Duration = Field(
        default=parse_duration("1s"), gt=timedelta(0), description="Gap after the first failed attempt."
    )
    step_backoff: Backoff = Field(default=2.0, description="Factor from one gap to the next.")
    step_maximum_interval: Duration = Field(
        default=parse_duration("30s"), gt=timedelta(0), description="Longest gap between attempts."
    )
    step_total_timeout: Duration = Field(
        default=parse_duration("1h"), gt=timedelta(0), description="A whole step over all attempts."
    )
    receive_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt of `receive`."
    )
    validate_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt of `validate`."
    )
    record_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt to record progress."
    )
    charge_timeout: Duration = Field(
        default=parse_duration("4s"), gt=timedelta(0), description="One attempt of `charge`."
    )
    prepare_package_timeout: Duration = Field(
        default=parse_duration("5s"), gt=timedelta(0), description="One attempt of `prepare_package`."
    )
    dispatch_carrier_timeout: Duration = Field(
        default=parse_duration("5s"), gt=timedelta(0), description="One attempt of `dispatch_carrier`."
    )
    refund_timeout: Duration = Field(
        default=parse_duration("5s"),
        gt=timedelta(0),
        description="One attempt to give money back, or to void a charge.",
    )
    shipping_attempts: ShippingAttempts = Field(
        default=2, description="Shipments tried before dispatch failed for good."
    )
    outage_first_wait: Duration = Field(
        default=parse_duration("1s"), gt=timedelta(0), description="First wait while Postgres is away."
    )
    outage_longest_wait: Duration = Field(
        default=parse_duration("60s"), gt=timedelta(0), description="Longest wait while Postgres is away."
    )

    def step(self, attempt_timeout: timedelta) -> StepPolicy:
        """What a step is given whose attempts take at most `attempt_timeout`."""
        return StepPolicy(
            attempt_timeout=attempt_timeout,
            attempts=self.step_attempts,
            initial_interval=self.step_initial_interval,
            backoff=self.step_backoff,
            maximum_interval=self.step_maximum_interval,
            total_timeout=self.step_total_timeout,
        )

    def outage(self) -> OutagePolicy:
        """How a workflow waits while Postgres is away."""
        return OutagePolicy(first=self.outage_first_wait, longest=self.outage_longest_wait)
