"""Orphans: orders without an end in the database whose workflow is closed. How they are found and compensated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from orderfleet.domain import names
from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import Contract, OrderId
from orderfleet.domain.durations import Duration
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy


class UnfinishedOrder(Contract):
    """An order without an end in the database, and the workflow that the database says it belongs to."""

    order_id: str
    workflow_id: str
    first_run_id: str


class Orphan(Contract):
    """An order without an end whose workflow is closed."""

    order_id: OrderId
    payment: PaymentIntent
    shipments: int = Field(ge=0, le=1000)
    """Highest shipment attempt in the database; 0 without one."""
    how: str = ""
    """How its workflow closed: `terminated`, `timed out`, `failed`, `canceled`, `completed`."""


@dataclass(frozen=True)
class UnfinishedPage:
    """Unfinished orders in the order of their ids, a page of them."""

    orders: tuple[UnfinishedOrder, ...]
    """Those of the page that are due for a check."""
    last: str | None
    """The highest order id of the page, due or not; None after the last page."""


@dataclass(frozen=True)
class ClosedPage:
    """Order workflows that closed without completing, a page of them."""

    workflow_ids: tuple[str, ...]
    next_token: str | None
    """None after the last page."""


@dataclass(frozen=True)
class WorkflowState:
    """What Temporal says of the workflow of an unfinished order."""

    found: bool
    """False: Temporal has no such workflow."""
    running: bool = False
    how: str = ""
    """How it closed."""


class SweepProgress(Contract):
    """Result of `OrphanSweepWorkflow`; Temporal gives it to the next run of the schedule.

    A run without it begins at the first order and looks back further; nothing else is lost with it.
    """

    checked_until: str = ""
    """Order id that the check of unfinished orders continues after; empty at the beginning."""
    started_at: datetime | None = None
    found: int = 0
    """Orphans whose compensation this run started."""


class OrphanSweep(Contract):
    """Input of `OrphanSweepWorkflow`: the settings of today."""

    policy: OrderPolicy = OrderPolicy()
    batch: int = Field(default=1000, ge=1)
    """Unfinished orders that one run reads from the database."""
    idle: Duration = Field(default=timedelta(minutes=10), ge=timedelta(0))
    """Unfinished orders that changed within this time are not checked against Temporal."""


class SweepClosedInput(StepInput):
    """Compensate the orphans among the order workflows that closed since a time."""

    since: datetime
    page_token: str | None = None
    policy: OrderPolicy


class SweepUnfinishedInput(StepInput):
    """Compensate the orphans among the unfinished orders after an order id."""

    after: str
    limit: int
    idle: Duration
    policy: OrderPolicy


class SweepResult(Contract):
    """How far an activity of the sweep came; its heartbeats carry it too."""

    position: str | None = None
    """Page token or order id to continue from."""
    read: int = 0
    """Workflows or orders that it went through."""
    found: int = 0
    """Orphans whose compensation it started."""
    done: bool = False
    """Whether nothing is left to go through."""


class Compensation(Contract):
    """Input of `CompensationWorkflow`."""

    orphan: Orphan
    policy: OrderPolicy
    conflicts: tuple[str, ...] = ()
    """Ids that it could not be started under, because a workflow of another origin has them."""

    def memo(self) -> dict[str, str]:
        """What the workflow is started with, so that one of another origin under the same id is recognized."""
        return {
            names.MEMO_ORDER_ID: self.orphan.order_id,
            names.MEMO_PAYMENT_ID: self.orphan.payment.payment_id,
        }


class RecordCompensationInput(StepInput):
    """Record the end of an orphaned order."""

    shipped: bool
    """Its parcel is dispatched; else it failed."""
    reason: str
    at: datetime
    conflicts: tuple[str, ...] = ()
