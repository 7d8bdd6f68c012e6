"""Orders whose workflow was ended from outside: how they are found, and what is settled for them."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field

from orderfleet.contracts.base import Contract, OrderId
from orderfleet.contracts.duration import PositiveDuration
from orderfleet.contracts.payment import PaymentIntent
from orderfleet.contracts.policy import OrderPolicy
from orderfleet.contracts.steps import StepInput


class ClosedWorkflow(Contract):
    """An order workflow that did not complete, as Temporal's visibility tells it."""

    order_id: str
    run_id: str
    how: str
    """`terminated`, `timed out`, `failed`, `canceled`."""


class Sweep(Contract):
    """Input of `SweepWorkflow`, handed from run to run."""

    since: datetime | None = None
    """Closed since then; None at the very first run."""
    interval: PositiveDuration = timedelta(seconds=30)
    policy: OrderPolicy = OrderPolicy()


class SweepInput(StepInput):
    """Find what was ended from outside."""

    since: datetime


class SweepResult(Contract):
    """What was found."""

    orphans: tuple[Orphan, ...] = ()


class Orphan(Contract):
    """An order that the record has as unfinished and whose workflow is gone."""

    order_id: OrderId
    payment: PaymentIntent
    shipments: int = Field(ge=0, le=1000)
    """How many shipments it began."""
    how: str
    """How its workflow ended."""


class Settlement(Contract):
    """Input of `SettleWorkflow`."""

    orphan: Orphan
    policy: OrderPolicy


class SettleInput(StepInput):
    """Record the end of an order in its workflow's place."""

    shipped: bool
    """Its parcel is on its way; else it failed."""
    reason: str
    at: datetime


SweepResult.model_rebuild()
