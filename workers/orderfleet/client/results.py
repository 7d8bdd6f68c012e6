"""What the client's calls answer."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from orderfleet.contracts.base import Contract


class StartOutcome(StrEnum):
    """Whether a start made the workflow or found it."""

    STARTED = "started"
    ADOPTED = "adopted"


class Started(Contract):
    """The workflow of an order, new or found."""

    order_id: str
    workflow_id: str
    run_id: str
    outcome: StartOutcome


class Closed(Contract):
    """How the workflow of an order ended."""

    how: str
    """`completed`, `failed`, `canceled`, `terminated`, `timed out`."""
    reason: str = ""
    """The message of its failure; empty for one that ended otherwise."""
    at: datetime


class Answer(StrEnum):
    """What became of a change."""

    TAKEN = "taken"
    """The workflow took it."""
    QUEUED = "queued"
    """No worker answered in time: the change stands as a signal and is handled when one runs."""


class Heard(StrEnum):
    """What became of the carrier's word."""

    TAKEN = "taken"
    """It stands as a signal of the order's workflow."""
    IGNORED = "ignored"
    """It was known before, or nothing waits for it any more."""
