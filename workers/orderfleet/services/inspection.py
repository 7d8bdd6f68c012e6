"""An order's workflow and its history as Temporal has them, for display.

It reads Temporal's protobuf messages and must never fail on an unknown event type: such an event shows its type only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain import names
from orderfleet.domain.base import Contract
from orderfleet.services.deadline import RPC_TIMEOUT
from orderfleet.services.errors import translate_errors
from orderfleet.services.pending import PendingActivity, decode_failures, pending_activities, pending_children


class HistoryLine(Contract):
    """One event of a history."""

    id: int
    """Starts at 1 in each run."""
    at: datetime
    type: str
    """Temporal's name for it, such as `ActivityTaskScheduled`."""
    what: str
    """Which activity, signal, timer or child, and its result."""


def history_line(event: HistoryEvent, at: datetime) -> HistoryLine:
    """Summarize an event.

    Args:
        event: decoded by `decode_failures`.
        at: its time.
    """
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").title().replace("_", "")
    attributes = getattr(event, event.WhichOneof("attributes") or "", None)
    summarize = _SUMMARIES.get(kind)
    what = summarize(attributes) if summarize and attributes else ""
    return HistoryLine(id=event.event_id, at=at, type=kind, what=what)


def _failure(failure: Failure) -> str:
    """The message of the root cause: Temporal's wrapping failures carry no detail."""
    cause = failure
    while cause.HasField("cause"):
        cause = cause.cause
    return cause.message or failure.message


def _identity(attributes: Any) -> str:
    return f"by {attributes.identity}" if attributes.identity else ""


def _of(attributes: Any) -> str:
    return f"of {attributes.scheduled_event_id}"


def _marker(attributes: Any) -> str:
    """A local activity's only event is its marker, and the SDK puts the activity's name into the marker's data."""
    name = attributes.marker_name
    for payload in attributes.details["data"].payloads if "data" in attributes.details else ():
        with suppress(ValueError):
            data = json.loads(payload.data)
            name = f"{data['activity_type']}, a local activity" if "activity_type" in data else name
    failed = f": {_failure(attributes.failure)}" if attributes.HasField("failure") else ""
    return f"{name}{failed}"


_SUMMARIES: Final[Mapping[str, Callable[[Any], str]]] = {
    "WorkflowExecutionStarted": lambda a: f"{a.workflow_type.name} on {a.task_queue.name}",
    "WorkflowExecutionFailed": lambda a: _failure(a.failure),
    "WorkflowExecutionTerminated": lambda a: f"{a.reason} {_identity(a)}".strip(),
    "WorkflowExecutionContinuedAsNew": lambda a: f"as run {a.new_execution_run_id}",
    "WorkflowExecutionCancelRequested": lambda a: a.cause,
    "WorkflowExecutionSignaled": lambda a: f"{a.signal_name} {_identity(a)}".strip(),
    "WorkflowExecutionUpdateAccepted": lambda a: a.accepted_request.input.name,
    "WorkflowExecutionUpdateCompleted": lambda a: (
        f"rejected: {_failure(a.outcome.failure)}" if a.outcome.HasField("failure") else "accepted"
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
    "TimerStarted": lambda a: f"timer {a.timer_id}, {a.start_to_fire_timeout.ToTimedelta().total_seconds():g} s",
    "TimerFired": lambda a: f"timer {a.timer_id}",
    "TimerCanceled": lambda a: f"timer {a.timer_id}",
    "StartChildWorkflowExecutionInitiated": lambda a: f"{a.workflow_type.name} {a.workflow_id}",
    "ChildWorkflowExecutionStarted": lambda a: a.workflow_execution.workflow_id,
    "ChildWorkflowExecutionCompleted": lambda a: a.workflow_execution.workflow_id,
    "ChildWorkflowExecutionFailed": lambda a: f"{a.workflow_execution.workflow_id}: {_failure(a.failure)}",
    "SignalExternalWorkflowExecutionInitiated": lambda a: f"{a.signal_name} to {a.workflow_execution.workflow_id}",
}


class RunHistory(Contract):
    """The events of one run of a workflow."""

    workflow_id: str
    run_id: str
    started_at: datetime
    events: tuple[HistoryLine, ...]


async def histories(temporal: Client, workflow_id: str, run_id: str) -> list[RunHistory]:
    """The runs of a workflow, oldest first, and after them those of its child workflows.

    Args:
        temporal: the client.
        workflow_id: of the workflow.
        run_id: of its last run to read.

    Raises:
        RPCError: there is no such run, or Temporal did not answer.
    """
    found: list[RunHistory] = []
    waiting = [(workflow_id, run_id)]
    while waiting:
        chain = await _chain(temporal, *waiting.pop(0), required=not found)
        found += [_run_history(run) for run in chain]
        waiting += [child for run in chain for child in _children(run[1])]
    return found


async def earlier_runs(temporal: Client, workflow_id: str, run_id: str) -> tuple[str, ...]:
    """The ids of the runs that a run continues, oldest first. It reads one event of each.

    Args:
        temporal: the client.
        workflow_id: of the workflow.
        run_id: of the run.

    Raises:
        RPCError: Temporal did not answer.
    """
    found: list[str] = []
    while run_id:
        try:
            response = await temporal.workflow_service.get_workflow_execution_history(
                GetWorkflowExecutionHistoryRequest(
                    namespace=temporal.namespace,
                    execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                    maximum_page_size=1,
                ),
                timeout=RPC_TIMEOUT,
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            break
        found.append(run_id)
        run_id = _start(response.history.events).continued_execution_run_id
    return tuple(found[:0:-1])


_Run = tuple[WorkflowExecution, Sequence[HistoryEvent]]


async def _chain(temporal: Client, workflow_id: str, run_id: str, *, required: bool) -> list[_Run]:
    """The run and those that it continues, oldest first; a missing run raises only if it is `required`."""
    found: list[_Run] = []
    while run_id:
        handle = temporal.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            events = [event async for event in handle.fetch_history_events(rpc_timeout=RPC_TIMEOUT)]
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or (required and not found):
                raise
            break
        for event in events:
            await decode_failures(event, temporal.data_converter)
        found.append((WorkflowExecution(workflow_id=workflow_id, run_id=run_id), events))
        run_id = _start(events).continued_execution_run_id
    return found[::-1]


def _start(events: Sequence[HistoryEvent]) -> WorkflowExecutionStartedEventAttributes:
    """The attributes of a run's first event."""
    return events[0].workflow_execution_started_event_attributes


def _children(events: Sequence[HistoryEvent]) -> list[tuple[str, str]]:
    """Workflow id and run id of the child workflows that a run started: shipments and pending refunds."""
    started = (
        event.child_workflow_execution_started_event_attributes.workflow_execution
        for event in events
        if event.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
    )
    return [(child.workflow_id, child.run_id) for child in started]


def _run_history(run: _Run) -> RunHistory:
    execution, events = run
    lines = tuple(history_line(event, event.event_time.ToDatetime(UTC)) for event in events)
    return RunHistory(workflow_id=execution.workflow_id, run_id=execution.run_id, started_at=lines[0].at, events=lines)


class WorkflowView(Contract):
    """An order's workflow as Temporal describes it."""

    workflow_id: str
    run_id: str
    state: str
    """`running`, or how it closed: `completed`, `failed`, `canceled`, `terminated`, `timed_out`."""
    task_queue: str
    started_at: datetime
    closed_at: datetime | None = None
    history_length: int
    """Events of this run."""
    task_attempt: int = 0
    """Attempt of the pending workflow task; 0 without one. It grows when the workflow code fails or hangs on this
    order, or ends its worker; the history and the workers' logs show which."""
    earlier_runs: tuple[str, ...] = ()
    """Ids of the runs that this one continues and that Temporal still has, oldest first."""
    owner: str = ""
    """`namespace/name` of the Order; empty for an order without one."""
    waits_for: tuple[str, ...] = ()
    """Workflow ids of its children that are not closed."""
    pending: tuple[PendingActivity, ...] = ()
    """Pending activities of the order and of these children."""


class OrderInspector:
    """Describes the workflows of orders.

    Args:
        temporal: a client; it may connect lazily.
    """

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def workflow(self, order_id: str) -> WorkflowView:
        """Describe the order's workflow, running or closed.

        Raises:
            OrderNotFound: Temporal has no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        with translate_errors(order_id):
            description = await self._describe(names.order_workflow_id(order_id))
            children = pending_children(description)
            described = await asyncio.gather(*(self._describe(child) for child in children))
            memo = await description.memo()
            earlier = await earlier_runs(self._temporal, description.id, description.run_id)
            pending = await pending_activities((description, *described), self._temporal.data_converter)
        return WorkflowView(
            workflow_id=description.id,
            run_id=description.run_id,
            state=description.status.name.lower() if description.status is not None else "unknown",
            task_queue=description.task_queue,
            started_at=description.start_time,
            closed_at=description.close_time,
            history_length=description.history_length,
            task_attempt=description.raw_description.pending_workflow_task.attempt,
            earlier_runs=earlier,
            owner=str(memo.get(names.MEMO_OWNER, "")),
            waits_for=tuple(children),
            pending=tuple(pending),
        )

    async def history(self, order_id: str) -> list[RunHistory]:
        """The runs of the order's workflow, oldest first, then those of its children. Raises as `workflow`."""
        with translate_errors(order_id):
            description = await self._describe(names.order_workflow_id(order_id))
            return await histories(self._temporal, description.id, description.run_id)

    async def _describe(self, workflow_id: str) -> WorkflowExecutionDescription:
        return await self._temporal.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
