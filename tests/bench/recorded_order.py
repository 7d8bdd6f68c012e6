"""The history of one order, divided by the workflow tasks that it has."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowHistory


@dataclass(frozen=True)
class Turn:
    """The events from one workflow task's start to the next one's."""

    events: bytes
    started: int
    before: int
    after_activity: bool
    """Whether a worker has to complete an activity first."""


@dataclass(frozen=True)
class Recording:
    """One order's history. Its names can be replaced by others of the same length."""

    order_id: str
    workflow_id: str
    run_id: str
    workflow_type: str
    turns: tuple[Turn, ...]

    @classmethod
    def of(cls, order_id: str, history: WorkflowHistory) -> Recording:
        """Divide the history of a shipped order.

        Args:
            order_id: of the order.
            history: of its workflow.
        """
        turns, events, before = [], [], 0
        for event in history.events:
            events.append(event)
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                done = any(each.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED for each in events)
                serialized = History(events=events).SerializeToString()
                turns.append(Turn(serialized, event.event_id, before, done))
                events, before = [], event.event_id
        first = history.events[0].workflow_execution_started_event_attributes
        return cls(order_id, history.workflow_id, history.run_id, first.workflow_type.name, tuple(turns))
