"""Samples of a backlog: unfinished orders, pending payments, tasks in a queue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BacklogKind(StrEnum):
    """What a sample counts."""

    ORDER = "order"
    OVERDUE_ORDER = "overdue_order"
    """An order past its deadline that has neither shipped nor ended."""
    PAYMENT = "payment"
    WORKFLOW_TASK = "workflow"
    ACTIVITY_TASK = "activity"


@dataclass(frozen=True)
class BacklogSample:
    """Size and age of one backlog."""

    kind: BacklogKind
    key: str
    """Step of the orders, status of the payments, or name of the task queue."""
    count: int
    oldest: float
    """Age of the oldest in seconds; 0 if the backlog is empty."""
