"""Summaries of history events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from temporalio.api.common.v1 import ActivityType, Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    ActivityTaskFailedEventAttributes,
    ActivityTaskScheduledEventAttributes,
    ActivityTaskStartedEventAttributes,
    HistoryEvent,
    MarkerRecordedEventAttributes,
)
from temporalio.api.taskqueue.v1 import TaskQueue

from orderfleet.services.inspection import history_line

BOOM = Failure(message="Activity task failed", cause=Failure(message="boom"))


@pytest.mark.parametrize(
    ("event", "kind", "what"),
    [
        (
            HistoryEvent(
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
                activity_task_scheduled_event_attributes=ActivityTaskScheduledEventAttributes(
                    activity_type=ActivityType(name="charge"), task_queue=TaskQueue(name="orders-tq")
                ),
            ),
            "ActivityTaskScheduled",
            "charge on orders-tq",
        ),
        (
            HistoryEvent(
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
                activity_task_started_event_attributes=ActivityTaskStartedEventAttributes(
                    scheduled_event_id=5, attempt=2, last_failure=BOOM
                ),
            ),
            "ActivityTaskStarted",
            "of 5, attempt 2, after: boom",
        ),
        (
            HistoryEvent(
                event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
                activity_task_failed_event_attributes=ActivityTaskFailedEventAttributes(
                    scheduled_event_id=5, failure=BOOM
                ),
            ),
            "ActivityTaskFailed",
            "of 5: boom",
        ),
        (
            HistoryEvent(
                event_type=EventType.EVENT_TYPE_MARKER_RECORDED,
                marker_recorded_event_attributes=MarkerRecordedEventAttributes(
                    marker_name="core_local_activity",
                    details={"data": Payloads(payloads=[Payload(data=b"not JSON")])},
                    failure=BOOM,
                ),
            ),
            "MarkerRecorded",
            "core_local_activity: boom",
        ),
        (HistoryEvent(event_type=EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED), "NexusOperationStarted", ""),
    ],
)
def test_history_line_of_an_event_has_its_type_and_summary(event, kind, what):
    line = history_line(event, datetime(2026, 11, 21, tzinfo=UTC))
    assert (line.type, line.what) == (kind, what)
