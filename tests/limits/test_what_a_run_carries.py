"""Signals that come faster than they can be told: what an order hands Temporal in one piece stays bounded."""

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
from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.domain.status import Step
from orderfleet.domain.validation import MAX_ORDER_BYTES
from orderfleet.orders.state import OrderState
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.temporal.data_converter import DATA_CONVERTER

PIECE: Final = 2 * 1024 * 1024
"""Bytes that Temporal takes in one piece; it ends a workflow that hands it more."""
NOW: Final = datetime(2026, 11, 21, 9, tzinfo=UTC)
ADDRESS: Final = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")


class Listening(WorkflowRunner):
    """Runs workflows as workers do, and keeps their commands."""

    def __init__(self) -> None:
        self._runner = UnsandboxedWorkflowRunner()
        self.commands: list[WorkflowCommand] = []

    def prepare_workflow(self, defn: Any) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: Any) -> Any:
        instance = self._runner.create_instance(det)
        activate = instance.activate

        def listen(activation: Any) -> Any:
            completion = activate(activation)
            self.commands.extend(completion.successful.commands)
            return completion

        instance.activate = listen  # type: ignore[method-assign]
        return instance


async def in_review(signals: Sequence[tuple[str, Any]], order: OrderInput) -> WorkflowCommand:
    """The first thing that an order does which finds all these signals when its worker is back."""
    waiting = OrderState.new(order, NOW)
    waiting.step, waiting.received, waiting.review_deadline = Step.MANUAL_REVIEW, True, NOW + timedelta(hours=24)
    events: list[HistoryEvent] = []

    def happens(kind: EventType.ValueType) -> HistoryEvent:
        event = HistoryEvent(event_id=len(events) + 1, event_type=kind)
        event.event_time.FromDatetime(NOW)
        events.append(event)
        return event

    async def payloads(*values: Any) -> Payloads:
        return Payloads(payloads=await DATA_CONVERTER.encode(values))

    started = happens(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED).workflow_execution_started_event_attributes
    started.workflow_type.CopyFrom(WorkflowType(name=names.ORDER_WORKFLOW))
    started.workflow_task_timeout.FromSeconds(10)
    started.task_queue.CopyFrom(TaskQueue(name="replay"))
    started.input.CopyFrom(await payloads(order, waiting))
    started.continued_execution_run_id = "22222222-2222-2222-2222-222222222222"
    started.attempt = 1
    started.original_execution_run_id = started.first_execution_run_id = "11111111-1111-1111-1111-111111111111"
    for name, content in signals:
        signaled = happens(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        attributes = signaled.workflow_execution_signaled_event_attributes
        attributes.signal_name = name
        attributes.input.CopyFrom(await payloads(content))
    scheduled = happens(EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    scheduled.workflow_task_scheduled_event_attributes.task_queue.CopyFrom(TaskQueue(name="replay"))
    begun = happens(EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED).workflow_task_started_event_attributes
    begun.scheduled_event_id = scheduled.event_id
    runner = Listening()
    # A busy machine may stand still for the SDK's two seconds, which is no deadlock.
    replayer = Replayer(
        workflows=[OrderWorkflow], data_converter=DATA_CONVERTER, workflow_runner=runner, debug_mode=True
    )
    result = await replayer.replay_workflow(WorkflowHistory(f"order-{order.order_id}", events))
    assert result.replay_failure is None
    return runner.commands[0]


async def told(of: OrderInput, signals: Sequence[tuple[str, Any]]) -> RecordInput:
    """What the record is told first. It leaves room for the order, beside which it may have to travel."""
    command = await in_review(signals, of)
    (piece,) = getattr(command, str(command.WhichOneof("variant"))).arguments
    (beside,) = await DATA_CONVERTER.encode([of])
    assert piece.ByteSize() + beside.ByteSize() < PIECE
    (given,) = await DATA_CONVERTER.decode([piece], [RecordInput])
    return given


def order(**changes: Any) -> OrderInput:
    return OrderInput(**{"order_id": "many-1", "items": (Item(sku="tea", qty=1),), "address": ADDRESS, **changes})


def declarations(count: int) -> list[tuple[str, Any]]:
    """Each is two lines of the trail."""
    return [("apply_spec", {"generation": n + 2, "address": move[1]}) for n, move in enumerate(moves(count))]


def moves(count: int) -> list[tuple[str, Any]]:
    return [("update_address", ADDRESS.model_copy(update={"street": f"{n} Long St"})) for n in range(count)]


async def test_many_changes_are_told_before_a_run_continues_as_new_with_them() -> None:
    signals = moves(700)
    given = await told(order(policy={"changes_per_run": 500}), signals)
    assert [event.kind for event in given.progress.events] == ["address_changed"] * len(signals)
    assert given.progress.address == signals[-1][1]


async def test_few_changes_go_along_when_a_run_continues_as_new() -> None:
    command = await in_review(moves(3), order(policy={"changes_per_run": 2}))
    assert command.WhichOneof("variant") == "continue_as_new_workflow_execution"


async def test_more_changes_than_temporal_takes_in_one_piece_are_told_by_their_number() -> None:
    signals, item = declarations(4000), Item(sku="x" * 128, qty=1)
    large = (item,) * ((MAX_ORDER_BYTES - 1024) // len(f"{item.model_dump_json()},"))
    given = await told(order(items=large), signals)
    *lines, moved, declared = given.progress.events
    assert not any("times" in line.detail for line in lines)
    assert moved.detail["times"] + declared.detail["times"] == 2 * len(signals) - len(lines)
    assert declared.detail["generation"] == given.progress.declared.generation == len(signals) + 1
    assert given.progress.address == signals[-1][1]["address"]


HUGE: Final = "x" * (PIECE - 64 * 1024)
"""As large as one signal can be."""


@pytest.mark.parametrize(
    ("signal", "content", "kept"),
    [
        ("cancel_order", HUGE, "x" * 999 + "…"),
        ("cancel_payment", {"reason": HUGE}, "x" * 999 + "…"),
        ("apply_spec", {"generation": 2, "cancel": True, "cancel_reason": HUGE}, "x" * 999 + "…"),
        ("apply_spec", {"generation": 2, "owner_uid": HUGE}, "owner_uid: "),
        ("update_address", ADDRESS.model_copy(update={"street": HUGE}), "street: "),
    ],
)
async def test_a_signal_of_any_size_is_cut_or_refused(signal: str, content: Any, kept: str) -> None:
    given = await told(order(), [(signal, content)])
    assert given.progress.events[0].detail["reason"].startswith(kept)


async def test_a_carrier_that_tells_without_end_is_heard_so_far_as_its_shipments_go() -> None:
    words = [("carrier_update", {"shipment_id": f"of-nobody-{n}", "status": "delivered"}) for n in range(20)]
    continued = await in_review(words, order(policy={"changes_per_run": 2}))
    _, piece = continued.continue_as_new_workflow_execution.arguments
    (state,) = await DATA_CONVERTER.decode([piece], [OrderState])
    assert state.delivered == []
