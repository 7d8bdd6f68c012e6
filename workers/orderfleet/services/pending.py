"""Pending activities as Temporal describes them, and the decryption of failure messages in Temporal's answers.

A failure must never be read before `decode_failures`: its message may be encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from google.protobuf.message import Message
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowExecutionDescription
from temporalio.converter import DataConverter
from temporalio.exceptions import FailureError

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import PayloadDecryptionError
from orderfleet.domain.status import OrderStatus


async def decode_failures(message: Message, converter: DataConverter) -> None:
    """Decrypt the messages of all failures in a protobuf message, in place.

    Args:
        message: an answer of Temporal's, of any type.
        converter: has the codec. Without the key, the failure's message says which key is missing.
    """
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            found = [entry for entry in value.values() if isinstance(entry, Message)]
        else:
            found = [value] if isinstance(value, Message) else list(value)
        for each in found:
            if isinstance(each, Failure):
                await _decode(each, converter)
            else:
                await decode_failures(each, converter)


async def _decode(failure: Failure, converter: DataConverter) -> None:
    try:
        error: BaseException | None = await converter.decode_failure(failure)
    except PayloadDecryptionError as undecryptable:
        failure.message = str(undecryptable)
        return
    while isinstance(error, FailureError):
        failure.message = error.message
        failure, error = failure.cause, error.__cause__


class PendingState(StrEnum):
    """The state of a pending activity."""

    SCHEDULED = "scheduled"
    """Waiting for a worker, or for its next attempt."""
    STARTED = "started"
    """Running in a worker."""
    OTHER = "other"


class PendingActivity(Contract):
    """An activity of an order, or of one of its shipments, that isn't closed."""

    workflow_id: str
    activity: str
    state: PendingState
    attempt: int
    maximum_attempts: int
    """0 for no limit."""
    last_failure: str | None = None
    started_at: datetime | None = None
    """When the last attempt started; None before the first."""
    next_attempt_at: datetime | None = None


_STATES = {
    PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED: PendingState.SCHEDULED,
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED: PendingState.STARTED,
}


async def pending_activities(
    descriptions: Iterable[WorkflowExecutionDescription], converter: DataConverter
) -> list[PendingActivity]:
    """The pending activities of workflows.

    Args:
        descriptions: of the workflows.
        converter: decrypts their failures.
    """
    found: list[PendingActivity] = []
    for description in descriptions:
        raw = description.raw_description
        await decode_failures(raw, converter)
        found.extend(_read(description.id, activity) for activity in raw.pending_activities)
    return found


def pending_children(description: WorkflowExecutionDescription) -> list[str]:
    """The workflow ids of the children that are not closed."""
    return [child.workflow_id for child in description.raw_description.pending_children]


def with_pending(status: OrderStatus, pending: Sequence[PendingActivity]) -> OrderStatus:
    """The status, with the retries and the last error of the pending activities added."""
    if not pending:
        return status
    retries = dict(status.retries)
    for activity in pending:
        if activity.attempt > 1:
            retries[activity.activity] = retries.get(activity.activity, 0) + activity.attempt - 1
    failures = [f"{activity.activity}: {activity.last_failure}" for activity in pending if activity.last_failure]
    last_error = failures[-1] if failures else status.last_error
    return status.model_copy(update={"retries": retries, "last_error": last_error})


def _read(workflow_id: str, info: PendingActivityInfo) -> PendingActivity:
    failure = info.last_failure
    return PendingActivity(
        workflow_id=workflow_id,
        activity=info.activity_type.name,
        state=_STATES.get(info.state, PendingState.OTHER),
        attempt=info.attempt,
        maximum_attempts=info.maximum_attempts,
        # In one line: its message, or its type where it has none.
        last_failure=(failure.message or failure.application_failure_info.type)
        if info.HasField("last_failure")
        else None,
        started_at=info.last_started_time.ToDatetime(UTC) if info.HasField("last_started_time") else None,
        next_attempt_at=(
            info.next_attempt_schedule_time.ToDatetime(UTC) if info.HasField("next_attempt_schedule_time") else None
        ),
    )
