"""Input and result of the check which workflow has an id.

Any client can start a workflow under an id that an order needs. A start that finds its id in use must not assume that
its own earlier start succeeded; the check compares type, memo and parent.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orderfleet.domain.activities import StepInput, StepResult


class IdHolder(StrEnum):
    """Which workflow has an id."""

    NONE = "none"
    OPEN = "open"
    """A running workflow of this order."""
    COMPLETED = "completed"
    """A completed workflow of this order."""
    ENDED = "ended"
    """A workflow of this order that was terminated, canceled, timed out or failed, so its work is not done."""
    FOREIGN = "foreign"
    """A workflow of another type, memo or parent."""


class CheckWorkflowInput(StepInput):
    """Find out which workflow has an id."""

    workflow_id: str
    workflow_type: str
    """Expected type."""
    memo: dict[str, str] = Field(default_factory=dict)
    """Expected fields of the memo."""
    parent_id: str = ""
    """Expected workflow id of the parent; empty to accept any."""


class CheckWorkflowResult(StepResult):
    """Which workflow has the id."""

    holder: IdHolder
