"""One event of a workflow's history in a line for people.

`OrderInspector` calls it. It reads Temporal's own messages and must never fail on a kind of event that
it doesn't know: such an event has its type and no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from orderfleet.contracts.base import Contract


class HistoryLine(Contract):
    """One event."""

    id: int
    """Rising from 1 in a run."""
    at: datetime
    type: str
    """As Temporal names it: `ActivityTaskScheduled`."""
    what: str
    """Which activity, signal, timer or child, and what became of it."""


def told(event: HistoryEvent, at: datetime) -> HistoryLine:
    """The event in a line."""
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").title().replace("_", "")
    attributes = getattr(event, event.WhichOneof("attributes") or "", None)
    tell = _TOLD.get(kind)
    return HistoryLine(id=event.event_id, at=at, type=kind, what=tell(attributes) if tell and attributes else "")


def _failure(failure: Failure) -> str:
    """What failed and the reason below it: Temporal's own wrapping says little."""
    cause = failure
    while cause.HasField("cause"):
        cause = cause.cause
    return cause.message or failure.message


def _seconds(duration: Any) -> str:
    return f"{duration.ToTimedelta().total_seconds():g} s"


def _identity(attributes: Any) -> str:
    return f"by {attributes.identity}" if attributes.identity else ""


def _of(attributes: Any) -> str:
    return f"of {attributes.scheduled_event_id}"


def _marker(attributes: Any) -> str:
    """A local activity has no events but its marker; its name is in the SDK's own note on it."""
    name = attributes.marker_name
    for payload in attributes.details["data"].payloads if "data" in attributes.details else ():
        with suppress(ValueError):
            note = json.loads(payload.data)
            name = f"{note['activity_type']}, a local activity" if "activity_type" in note else name
    failed = f": {_failure(attributes.failure)}" if attributes.HasField("failure") else ""
    return f"{name}{failed}"


_TOLD: Final[Mapping[str, Callable[[Any], str]]] = {
    "WorkflowExecutionStarted": lambda a: f"{a.workflow_type.name} on {a.task_queue.name}",
    "WorkflowExecutionCompleted": lambda _: "",
    "WorkflowExecutionFailed": lambda a: _failure(a.failure),
    "WorkflowExecutionTerminated": lambda a: f"{a.reason} {_identity(a)}".strip(),
    "WorkflowExecutionContinuedAsNew": lambda a: f"as run {a.new_execution_run_id}",
    "WorkflowExecutionCancelRequested": lambda a: a.cause,
    "WorkflowExecutionSignaled": lambda a: f"{a.signal_name} {_identity(a)}".strip(),
    "WorkflowExecutionUpdateAccepted": lambda a: a.accepted_request.input.name,
    "WorkflowExecutionUpdateCompleted": lambda a: (
        f"refused: {_failure(a.outcome.failure)}" if a.outcome.HasField("failure") else "taken"
    ),
    "WorkflowTaskScheduled": lambda a: f"on {a.task_queue.name}",
    "WorkflowTaskStarted": _identity,
    "WorkflowTaskFailed": lambda a: _failure(a.failure),
    "ActivityTaskScheduled": lambda a: f"{a.activity_type.name} on {a.task_queue.name}",
    "ActivityTaskStarted": lambda a: (
        f"{_of(a)}, attempt {a.attempt}"
        + (f", after: {_failure(a.last_failure)}" if a.HasField("last_failure") else "")
    ),
    "ActivityTaskCompleted": _of,
    "ActivityTaskFailed": lambda a: f"{_of(a)}: {_failure(a.failure)}",
    "ActivityTaskTimedOut": lambda a: f"{_of(a)}: {_failure(a.failure)}",
    "ActivityTaskCanceled": _of,
    "MarkerRecorded": _marker,
    "TimerStarted": lambda a: f"timer {a.timer_id}, {_seconds(a.start_to_fire_timeout)}",
    "TimerFired": lambda a: f"timer {a.timer_id}",
    "TimerCanceled": lambda a: f"timer {a.timer_id}",
    "StartChildWorkflowExecutionInitiated": lambda a: f"{a.workflow_type.name} {a.workflow_id}",
    "ChildWorkflowExecutionStarted": lambda a: a.workflow_execution.workflow_id,
    "ChildWorkflowExecutionCompleted": lambda a: a.workflow_execution.workflow_id,
    "ChildWorkflowExecutionFailed": lambda a: f"{a.workflow_execution.workflow_id}: {_failure(a.failure)}",
    "SignalExternalWorkflowExecutionInitiated": lambda a: f"{a.signal_name} to {a.workflow_execution.workflow_id}",
}
