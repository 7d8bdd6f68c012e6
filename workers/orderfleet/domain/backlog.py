"""What waits somewhere, as counted now and then: unfinished orders, money under way, tasks in a queue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BacklogKind(StrEnum):
    """What is counted."""

    ORDER = "order"
    OVERDUE_ORDER = "overdue_order"
    """Past its own deadline, and neither shipped nor ended."""
    PAYMENT = "payment"
    WORKFLOW_TASK = "workflow"
    ACTIVITY_TASK = "activity"


@dataclass(frozen=True)
class BacklogSample:
    """How many of one kind wait at one place."""

    kind: BacklogKind
    place: str
    """An order's step, a payment's status, a queue's name."""
    count: int
    oldest: float
    """Seconds that the oldest has waited; 0 when none does."""
