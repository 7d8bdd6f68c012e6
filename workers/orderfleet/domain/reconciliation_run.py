"""Input, progress and activities of a reconciliation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import Contract
from orderfleet.domain.durations import Duration
from orderfleet.domain.policy import OrderPolicy

NOT_SUPPORTED: Final = (
    "the payment provider does not list its payments, so nothing is reconciled; add the list to its service or adapter,"
    " or set ORDERFLEET_RECONCILIATION_INTERVAL to 0s"
)


class ReconcileResult(Contract):
    """Position and counts of an activity of a reconciliation; its heartbeats contain them too."""

    position: str = ""
    """Time or payment id to continue from; empty at the beginning."""
    compared: int = 0
    """Payments that it compared. One that changed at several times may count more than once."""
    found: int = 0
    """Differences that it found."""
    repaired: int = 0
    unsafe: int = 0
    """Open differences that are left for a person; only of the last activity."""
    done: bool = False
    not_supported: str = ""
    """The answer of a provider that does not list its payments; empty if it does."""


class ReconciliationProgress(Contract):
    """Progress and result of `ReconciliationWorkflow`; Temporal passes the result to the schedule's next run."""

    since: datetime | None = None
    until: datetime | None = None
    """None before the run has begun."""
    started: datetime | None = None
    window: ReconcileResult = ReconcileResult()
    """The comparison of what changed in this time; its position is a time."""
    open: ReconcileResult = ReconcileResult()
    """The comparison of the open differences that were not among it."""

    @property
    def not_supported(self) -> str:
        """The answer of a provider that does not list its payments, so that nothing was compared; empty if it does."""
        return self.window.not_supported

    @property
    def compared(self) -> int:
        """Payments that it compared."""
        return self.window.compared + self.open.compared

    @property
    def found(self) -> int:
        """Differences that it found."""
        return self.window.found + self.open.found

    @property
    def repaired(self) -> int:
        """Differences that it repaired."""
        return self.window.repaired + self.open.repaired


class Reconciliation(Contract):
    """Input of `ReconciliationWorkflow`."""

    policy: OrderPolicy = OrderPolicy()
    since: datetime | None = None
    """None: `window` before its start, or the end of the schedule's last completed run if that is earlier."""
    until: datetime | None = None
    """None: its start."""
    window: Duration = Field(default=timedelta(days=1), ge=timedelta(0))
    grace: Duration = Field(default=timedelta(minutes=10), ge=timedelta(0))
    """A difference that began within this time may be an operation in progress, and is left out."""
    repair: bool = True
    """Whether safe differences are repaired."""
    progress: ReconciliationProgress | None = None
    """Of a run that continued as new."""


class ReconcileInput(StepInput):
    """Compare a part of the books, from `position`."""

    since: datetime
    until: datetime
    """What changed from `since` until before this time is compared."""
    started: datetime
    """Start of the run: the open differences that it has not found since then are compared."""
    grace: Duration
    repair: bool
    position: str = ""
