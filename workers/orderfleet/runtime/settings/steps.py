"""Attempts and time-outs of the steps. Orders keep those that they started with."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.policy import Attempts, Backoff, OutagePolicy, ShippingAttempts, StepPolicy
from orderfleet.runtime.settings.base import Group


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
