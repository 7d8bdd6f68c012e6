"""A stub of Temporal's frontend, which replays the recorded history of one order to real workers as many orders.

It answers each call after a fixed latency and stores nothing. It must never decide for a worker: a command that the
history lacks makes the SDK report nondeterminism, which fails the order here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType, NamespaceState
from temporalio.api.history.v1 import History
from temporalio.api.namespace.v1 import NamespaceInfo
from temporalio.api.workflowservice.v1 import (
    CreateScheduleResponse,
    DescribeNamespaceResponse,
    GetSystemInfoResponse,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RecordWorkerHeartbeatResponse,
    RespondActivityTaskCompletedResponse,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedResponse,
    ShutdownWorkerResponse,
    WorkflowServiceServicer,
    add_WorkflowServiceServicer_to_server,
)

from bench.recorded_order import Recording

_POLL_SECONDS = 30
Task = TypeVar("Task")


@dataclass
class ReplayedOrder:
    """One order in progress."""

    order_id: str
    run_id: str
    ended: asyncio.Future[None]
    turn: int = 0
    queue: str = ""
    """The sticky queue of its worker."""


class ServerStub(WorkflowServiceServicer):
    """The calls that an order worker makes.

    Args:
        recording: the history to replay.
        task_queue: of the order workers.
        latency: seconds until a call is answered, and until the next task is handed out.
    """

    def __init__(self, recording: Recording, task_queue: str, latency: float) -> None:
        self._recording = recording
        self._task_queue = task_queue
        self._latency = latency
        self._orders: dict[bytes, ReplayedOrder] = {}
        self._turns: defaultdict[str, asyncio.Queue[ReplayedOrder]] = defaultdict(asyncio.Queue)
        self._activities: asyncio.Queue[PollActivityTaskQueueResponse] = asyncio.Queue()

    async def order(self, order_id: str) -> None:
        """Run one order to its end; its id has the length of the recorded one.

        Raises:
            AssertionError: a worker's commands differ from the recorded ones.
        """
        assert len(order_id) == len(self._recording.order_id), (
            "an id of another length would corrupt the recorded bytes"
        )
        order = ReplayedOrder(
            order_id, str(uuid.uuid4()), asyncio.get_running_loop().create_future(), queue=self._task_queue
        )
        self._orders[order.run_id.encode()] = order
        try:
            self._later(self._turns[order.queue], order)
            await order.ended
        finally:
            del self._orders[order.run_id.encode()]

    async def PollWorkflowTaskQueue(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        order = await _poll(self._turns[request.task_queue.name])
        return self._task(order) if order else PollWorkflowTaskQueueResponse()

    async def RespondWorkflowTaskCompleted(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        order = self._orders.get(request.task_token)
        answer = RespondWorkflowTaskCompletedResponse()
        if order is None:
            return answer
        order.queue = request.sticky_attributes.worker_task_queue.name or self._task_queue
        if request.force_create_new_workflow_task:
            _fail(order, "a workflow task timed out and the worker requested another")
        for command in request.commands:
            if command.command_type == CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
                attributes = command.schedule_activity_task_command_attributes
                if attributes.request_eager_execution:
                    answer.activity_tasks.append(self._activity(order, attributes))
                else:
                    self._later(self._activities, self._activity(order, attributes))
            elif command.command_type == CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
                order.ended.set_result(None)
            elif command.command_type == CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
                _fail(order, str(command.fail_workflow_execution_command_attributes.failure.message))
        if not order.ended.done():
            order.turn += 1
            if not self._recording.turns[order.turn].after_activity:
                self._later(self._turns[order.queue], order)
        await asyncio.sleep(self._latency)
        return answer

    async def RespondWorkflowTaskFailed(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        if order := self._orders.get(request.task_token):
            _fail(order, str(request.failure.message))
        return RespondWorkflowTaskFailedResponse()

    async def PollActivityTaskQueue(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        return await _poll(self._activities) or PollActivityTaskQueueResponse()

    async def RespondActivityTaskCompleted(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        if order := self._orders.get(request.task_token):
            self._later(self._turns[order.queue], order)
        await asyncio.sleep(self._latency)
        return RespondActivityTaskCompletedResponse()

    async def GetSystemInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        able = GetSystemInfoResponse.Capabilities(
            internal_error_differentiation=True, activity_failure_include_heartbeat=True, sdk_metadata=True
        )
        return GetSystemInfoResponse(server_version="1.29.1", capabilities=able)

    async def DescribeNamespace(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        info = NamespaceInfo(name=request.namespace, state=NamespaceState.NAMESPACE_STATE_REGISTERED)
        return DescribeNamespaceResponse(namespace_info=info)

    async def CreateSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        return CreateScheduleResponse()  # of the orphan sweep, which never runs

    async def RecordWorkerHeartbeat(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        return RecordWorkerHeartbeatResponse()

    async def ShutdownWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        return ShutdownWorkerResponse()

    def _task(self, order: ReplayedOrder) -> PollWorkflowTaskQueueResponse:
        turn, recording = self._recording.turns[order.turn], self._recording
        events = turn.events.replace(recording.order_id.encode(), order.order_id.encode())
        events = events.replace(recording.run_id.encode(), order.run_id.encode())
        task = PollWorkflowTaskQueueResponse(
            task_token=order.run_id.encode(),
            workflow_execution=self._execution(order),
            workflow_type=WorkflowType(name=recording.workflow_type),
            previous_started_event_id=turn.before,
            started_event_id=turn.started,
            attempt=1,
            history=History.FromString(events),
        )
        task.workflow_execution_task_queue.name = self._task_queue
        task.scheduled_time.GetCurrentTime()
        task.started_time.GetCurrentTime()
        return task

    def _activity(
        self, order: ReplayedOrder, attributes: ScheduleActivityTaskCommandAttributes
    ) -> PollActivityTaskQueueResponse:
        task = PollActivityTaskQueueResponse(
            task_token=order.run_id.encode(),
            workflow_namespace="default",
            workflow_type=WorkflowType(name=self._recording.workflow_type),
            workflow_execution=self._execution(order),
            activity_type=attributes.activity_type,
            activity_id=attributes.activity_id,
            header=attributes.header,
            input=attributes.input,
            attempt=1,
            schedule_to_close_timeout=attributes.schedule_to_close_timeout,
            start_to_close_timeout=attributes.start_to_close_timeout,
            heartbeat_timeout=attributes.heartbeat_timeout,
            retry_policy=attributes.retry_policy,
        )
        for timestamp in (task.scheduled_time, task.current_attempt_scheduled_time, task.started_time):
            timestamp.GetCurrentTime()
        return task

    def _execution(self, order: ReplayedOrder) -> WorkflowExecution:
        workflow_id = self._recording.workflow_id.replace(self._recording.order_id, order.order_id)
        return WorkflowExecution(workflow_id=workflow_id, run_id=order.run_id)

    def _later(self, queue: asyncio.Queue[Task], task: Task) -> None:
        asyncio.get_running_loop().call_later(self._latency, queue.put_nowait, task)


async def _poll(queue: asyncio.Queue[Task]) -> Task | None:
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            return await queue.get()
    except TimeoutError:
        return None


def _fail(order: ReplayedOrder, reason: str) -> None:
    if not order.ended.done():
        order.ended.set_exception(AssertionError(f"{order.order_id}: {reason}"))


@asynccontextmanager
async def listening(stub: ServerStub) -> AsyncIterator[str]:
    """Serve the stub; its address as a context."""
    server = grpc.aio.server()
    add_WorkflowServiceServicer_to_server(stub, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
