"""Signals that arrive faster than they are stored: each payload that an order sends to Temporal stays bounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from temporalio.api.common.v1 import Payloads, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner

from orderfleet.domain import names
from orderfleet.domain.activities import RecordInput
from orderfleet.domain.events import EventKind
from orderfleet.domain.order import Item, OrderInput
from orderfleet.domain.status import Step
from orderfleet.domain.validation import MAX_ORDER_BYTES
from orderfleet.orders.state import OrderState
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.temporal.data_converter import DATA_CONVERTER
from support.factories import ADDRESS, order_input

MAX_PAYLOAD: Final = 2 * 1024 * 1024
"""Temporal's limit for one payload, in bytes; it terminates a workflow that sends more."""
NOW: Final = datetime(2026, 11, 21, 9, tzinfo=UTC)


class CommandRecorder(WorkflowRunner):
    """Runs workflows as workers do, and records their commands."""

    def __init__(self) -> None:
        self._runner = UnsandboxedWorkflowRunner()
        self.commands: list[WorkflowCommand] = []

    def prepare_workflow(self, defn: Any) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: Any) -> Any:
        instance = self._runner.create_instance(det)
        activate = instance.activate

        def record_commands(activation: Any) -> Any:
            completion = activate(activation)
            self.commands.extend(completion.successful.commands)
            return completion

        instance.activate = record_commands  # type: ignore[method-assign]
        return instance


async def first_command(signals: Sequence[tuple[str, Any]], order: OrderInput) -> WorkflowCommand:
    """Return the first command of an order in review that receives all these signals in one workflow task."""
    waiting = OrderState.new(order, NOW)
    waiting.step, waiting.received, waiting.review_deadline = Step.MANUAL_REVIEW, True, NOW + timedelta(hours=24)
    events: list[HistoryEvent] = []

    def add_event(kind: EventType.ValueType) -> HistoryEvent:
        event = HistoryEvent(event_id=len(events) + 1, event_type=kind)
        event.event_time.FromDatetime(NOW)
        events.append(event)
        return event

    async def payloads(*values: Any) -> Payloads:
        return Payloads(payloads=await DATA_CONVERTER.encode(values))

    started = add_event(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED).workflow_execution_started_event_attributes
    started.workflow_type.CopyFrom(WorkflowType(name=names.ORDER_WORKFLOW))
    started.workflow_task_timeout.FromSeconds(10)
    started.task_queue.CopyFrom(TaskQueue(name="replay"))
    started.input.CopyFrom(await payloads(order, waiting))
    started.continued_execution_run_id = "22222222-2222-2222-2222-222222222222"
    started.attempt = 1
    started.original_execution_run_id = started.first_execution_run_id = "11111111-1111-1111-1111-111111111111"
    for name, content in signals:
        signaled = add_event(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        attributes = signaled.workflow_execution_signaled_event_attributes
        attributes.signal_name = name
        attributes.input.CopyFrom(await payloads(content))
    scheduled = add_event(EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    scheduled.workflow_task_scheduled_event_attributes.task_queue.CopyFrom(TaskQueue(name="replay"))
    begun = add_event(EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED).workflow_task_started_event_attributes
    begun.scheduled_event_id = scheduled.event_id
    runner = CommandRecorder()
    # A busy machine may exceed the SDK's deadlock timeout of two seconds.
    replayer = Replayer(
        workflows=[OrderWorkflow], data_converter=DATA_CONVERTER, workflow_runner=runner, debug_mode=True
    )
    result = await replayer.replay_workflow(WorkflowHistory(f"order-{order.order_id}", events))
    assert result.replay_failure is None
    return runner.commands[0]


async def first_record(of: OrderInput, signals: Sequence[tuple[str, Any]]) -> RecordInput:
    """Return the input of the order's first write, whose payload leaves room for the order in the same request."""
    command = await first_command(signals, of)
    (payload,) = getattr(command, str(command.WhichOneof("variant"))).arguments
    (order_payload,) = await DATA_CONVERTER.encode([of])
    assert payload.ByteSize() + order_payload.ByteSize() < MAX_PAYLOAD
    (record,) = await DATA_CONVERTER.decode([payload], [RecordInput])
    return record


def order(**changes: Any) -> OrderInput:
    return order_input("many-1", **changes)


def spec_updates(count: int) -> list[tuple[str, Any]]:
    """Return spec updates, each of which makes two audit events."""
    return [
        ("apply_spec", {"generation": n + 2, "address": change[1]}) for n, change in enumerate(address_changes(count))
    ]


def address_changes(count: int) -> list[tuple[str, Any]]:
    return [("update_address", ADDRESS.model_copy(update={"street": f"{n} Long St"})) for n in range(count)]


async def test_many_changes_are_stored_before_a_run_continues_as_new() -> None:
    signals = address_changes(700)
    record = await first_record(order(policy={"changes_per_run": 500}), signals)
    assert [event.kind for event in record.progress.events] == ["address_changed"] * len(signals)
    assert record.progress.address == signals[-1][1]


async def test_few_changes_are_carried_when_a_run_continues_as_new() -> None:
    command = await first_command(address_changes(3), order(policy={"changes_per_run": 2}))
    assert command.WhichOneof("variant") == "continue_as_new_workflow_execution"


async def test_changes_above_the_payload_limit_are_merged_with_their_count() -> None:
    signals, item = spec_updates(4000), Item(sku="x" * 128, qty=1)
    large = (item,) * ((MAX_ORDER_BYTES - 1024) // len(f"{item.model_dump_json()},"))
    record = await first_record(order(items=large), signals)
    events = [event for event in record.progress.events if "times" not in event.detail]
    merged = {event.kind: event.detail for event in record.progress.events if "times" in event.detail}
    assert sum(detail["times"] for detail in merged.values()) == 2 * len(signals) - len(events)
    assert merged[EventKind.SPEC_APPLIED]["generation"] == record.progress.declared.generation == len(signals) + 1
    assert record.progress.address == signals[-1][1]["address"]


MAX_SIGNAL: Final = "x" * (MAX_PAYLOAD - 64 * 1024)
"""The largest signal."""


@pytest.mark.parametrize(
    ("signal", "content", "kept"),
    [
        ("cancel_order", MAX_SIGNAL, "x" * 999 + "…"),
        ("cancel_payment", {"reason": MAX_SIGNAL}, "x" * 999 + "…"),
        ("apply_spec", {"generation": 2, "cancel": True, "cancel_reason": MAX_SIGNAL}, "x" * 999 + "…"),
        ("apply_spec", {"generation": 2, "owner_uid": MAX_SIGNAL}, "owner_uid: "),
        ("update_address", ADDRESS.model_copy(update={"street": MAX_SIGNAL}), "street: "),
    ],
)
async def test_signal_above_the_field_limit_is_truncated_or_rejected(signal: str, content: Any, kept: str) -> None:
    record = await first_record(order(), [(signal, content)])
    assert record.progress.events[0].detail["reason"].startswith(kept)


async def test_carrier_updates_of_unknown_shipments_are_not_carried() -> None:
    updates = [("carrier_update", {"shipment_id": f"unknown-{n}", "status": "delivered"}) for n in range(20)]
    continued = await first_command(updates, order(policy={"changes_per_run": 2}))
    _, payload = continued.continue_as_new_workflow_execution.arguments
    (state,) = await DATA_CONVERTER.decode([payload], [OrderState])
    assert state.delivered == []
