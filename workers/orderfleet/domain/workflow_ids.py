"""Workflow ids that another client can take: what is known of the workflow that has one.

A start that finds its id in use must not take that for its own earlier start: it compares the type and the memo.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orderfleet.domain.activities import StepInput, StepResult


class IdHolder(StrEnum):
    """Which workflow has an id."""

    NONE = "none"
    OPEN = "open"
    """One of this order's, running."""
    COMPLETED = "completed"
    """One of this order's, completed."""
    ENDED = "ended"
    """One of this order's that was terminated, canceled, timed out or failed: its work is not done."""
    FOREIGN = "foreign"
    """One of another type, or without the memo or the parent that this order's has."""


class CheckWorkflowInput(StepInput):
    """Find out which workflow has an id."""

    workflow_id: str
    workflow_type: str
    """What it should be."""
    memo: dict[str, str] = Field(default_factory=dict)
    """What its memo should contain."""
    parent_id: str = ""
    """Workflow id that its parent should have; empty for one that is recognized by its memo."""


class CheckWorkflowResult(StepResult):
    """Which workflow has the id."""

    holder: IdHolder
