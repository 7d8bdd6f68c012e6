"""Every run of a workflow that Temporal still has, and of the workflows it started, for people who look into them.

`OrderInspector` calls it. It only reads; what is past Temporal's retention is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.client.budget import RPC_TIMEOUT
from orderfleet.client.failures import readable
from orderfleet.client.history import HistoryLine, told
from orderfleet.contracts.base import Contract


class RunHistory(Contract):
    """One run of a workflow, event by event."""

    workflow_id: str
    run_id: str
    started_at: datetime
    events: tuple[HistoryLine, ...]


async def with_children(temporal: Client, workflow_id: str, run_id: str) -> list[RunHistory]:
    """The runs of a workflow up to `run_id`, oldest first, and after them those of each workflow it started.

    Raises:
        RPCError: there is no such run, or Temporal did not answer.
    """
    found: list[RunHistory] = []
    waiting = [(workflow_id, run_id)]
    while waiting:
        chain = await _chain(temporal, *waiting.pop(0), required=not found)
        found += [_told(run) for run in chain]
        waiting += [child for run in chain for child in _started_by(run[1])]
    return found


async def earlier_runs(temporal: Client, workflow_id: str, run_id: str) -> tuple[str, ...]:
    """The ids of the runs that `run_id` continues, oldest first; of each, one event is read.

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
    """The run and those that it continues, oldest first; with `required`, the run itself has to be there."""
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
            await readable(event, temporal.data_converter)
        found.append((WorkflowExecution(workflow_id=workflow_id, run_id=run_id), events))
        run_id = _start(events).continued_execution_run_id
    return found[::-1]


def _start(events: Sequence[HistoryEvent]) -> WorkflowExecutionStartedEventAttributes:
    """What the first event of every run says."""
    return events[0].workflow_execution_started_event_attributes


def _started_by(events: Sequence[HistoryEvent]) -> list[tuple[str, str]]:
    """The workflows that a run started: shipments, a refund that is owed."""
    begun = (
        event.child_workflow_execution_started_event_attributes.workflow_execution
        for event in events
        if event.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
    )
    return [(child.workflow_id, child.run_id) for child in begun]


def _told(run: _Run) -> RunHistory:
    execution, events = run
    lines = tuple(told(event, event.event_time.ToDatetime(UTC)) for event in events)
    return RunHistory(workflow_id=execution.workflow_id, run_id=execution.run_id, started_at=lines[0].at, events=lines)
