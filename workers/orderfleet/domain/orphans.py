"""Models of orphans, which are orders without an end in the database whose workflow is closed, and of their sweep."""

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
    """An order without an end in the database, and its workflow as the database has it."""

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
    """One page of unfinished orders, sorted by order id."""

    orders: tuple[UnfinishedOrder, ...]
    """Those of the page that are due for a check."""
    last: str | None
    """The highest order id of the page, due or not; None after the last page."""


@dataclass(frozen=True)
class ClosedPage:
    """One page of the order workflows that closed without completing."""

    workflow_ids: tuple[str, ...]
    next_token: str | None
    """None after the last page."""


@dataclass(frozen=True)
class WorkflowState:
    """State of an unfinished order's workflow in Temporal."""

    found: bool
    """False if Temporal has no such workflow."""
    running: bool = False
    how: str = ""
    """How it closed."""


class SweepProgress(Contract):
    """Result of `OrphanSweepWorkflow`, which Temporal passes to the schedule's next run.

    A run without it begins at the first order and looks back further.
    """

    checked_until: str = ""
    """Order id that the check of unfinished orders continues after; empty at the beginning."""
    started_at: datetime | None = None
    found: int = 0
    """Orphans whose compensation this run started."""


class OrphanSweep(Contract):
    """Input of `OrphanSweepWorkflow`: the current settings."""

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
    """Position and counts of an activity of the sweep; its heartbeats contain them too."""

    position: str | None = None
    """Page token or order id to continue from."""
    read: int = 0
    """Workflows or orders that it checked."""
    found: int = 0
    """Orphans whose compensation it started."""
    done: bool = False
    """Whether nothing is left to check."""


class Compensation(Contract):
    """Input of `CompensationWorkflow`."""

    orphan: Orphan
    policy: OrderPolicy
    conflicts: tuple[str, ...] = ()
    """Workflow ids that it could not use, because workflows of another client have them."""

    def memo(self) -> dict[str, str]:
        """Memo of the workflow, which distinguishes it from a workflow of another client with the same id."""
        return {names.MEMO_ORDER_ID: self.orphan.order_id, names.MEMO_PAYMENT_ID: self.orphan.payment.payment_id}


class RecordCompensationInput(StepInput):
    """Record the end of an orphaned order."""

    shipped: bool
    """Whether its parcel is dispatched; if not, the order failed."""
    reason: str
    at: datetime
    conflicts: tuple[str, ...] = ()
