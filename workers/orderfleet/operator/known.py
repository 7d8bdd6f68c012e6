"""What the operator knows of one Order beside the Order itself. Plain data; `reconcile` learns, `plan` reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orderfleet.client import Closed, Started
from orderfleet.contracts.record import RecordedOrder


class Part(StrEnum):
    """A part that the operator needs."""

    TEMPORAL = "Temporal"
    STORE = "Postgres"


@dataclass(frozen=True)
class Known:
    """Knowledge of one Order, gathered since the operator started."""

    record: RecordedOrder | None = None
    record_read: bool = False
    """Whether no record means that there is none."""
    workflow: Started | None = None
    """The order's own workflow, as a start or a search answered."""
    workflow_sought: bool = False
    """Whether no workflow means that Temporal knows none."""
    started_generation: int = 0
    """The generation that the start carried whole."""
    told_generation: int = 0
    """The last generation that Temporal took as a declaration; durable from then on."""
    workflow_missing: bool = False
    """Whether a declaration found no running workflow."""
    workflow_unchecked: bool = False
    """Whether the database has had no such order for so long that Temporal is to be asked what became of it."""
    workflow_closed: Closed | None = None
    """How the workflow ended without having recorded the order; then nothing will."""
    taken: str | None = None
    """Why the order id is another order's."""
    away: Part | None = None
    """The part whose silence keeps this Order waiting."""
