"""A stub of Temporal's frontend: plays the recorded history of one order to real order workers, as many orders at once.

`many_workers` runs it in its own process, so that workers can be measured where no server is in their way. It answers
each call after a fixed latency, keeps nothing durable, and must never decide what a worker answers: a command that the
record doesn't have is told by the SDK as nondeterminism, and fails the order here.
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
from recorded_order import Recording
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

_POLL_SECONDS = 30
Task = TypeVar("Task")


@dataclass
class Play:
    """One order that is under way."""

    order_id: str
    run_id: str
    ended: asyncio.Future[None]
    turn: int = 0
    queue: str = ""
    """Where its worker keeps it."""


class ServerStub(WorkflowServiceServicer):
    """The calls that an order worker makes.

    Args:
        recording: what is played.
        task_queue: of the order workers.
        latency: seconds until a call is answered, and until what it causes is handed out.
    """

    def __init__(self, recording: Recording, task_queue: str, latency: float) -> None:
        self._recording = recording
        self._task_queue = task_queue
        self._latency = latency
        self._plays: dict[bytes, Play] = {}
        self._turns: defaultdict[str, asyncio.Queue[Play]] = defaultdict(asyncio.Queue)
        self._activities: asyncio.Queue[PollActivityTaskQueueResponse] = asyncio.Queue()

    async def order(self, order_id: str) -> None:
        """Play one order to its end; the id is as long as the recorded one.

        Raises:
            AssertionError: a worker answered something else than was recorded.
        """
        assert len(order_id) == len(self._recording.order_id), "another length would break the recorded bytes"
        play = Play(order_id, str(uuid.uuid4()), asyncio.get_running_loop().create_future(), queue=self._task_queue)
        self._plays[play.run_id.encode()] = play
        try:
            self._later(self._turns[play.queue], play)
            await play.ended
        finally:
            del self._plays[play.run_id.encode()]

    async def PollWorkflowTaskQueue(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        play = await _next(self._turns[request.task_queue.name])
        return self._task(play) if play else PollWorkflowTaskQueueResponse()

    async def RespondWorkflowTaskCompleted(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        play = self._plays.get(request.task_token)
        answer = RespondWorkflowTaskCompletedResponse()
        if play is None:
            return answer
        play.queue = request.sticky_attributes.worker_task_queue.name or self._task_queue
        if request.force_create_new_workflow_task:
            _fail(play, "a workflow task took so long that it asked for another")
        for command in request.commands:
            if command.command_type == CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
                asked = command.schedule_activity_task_command_attributes
                if asked.request_eager_execution:
                    answer.activity_tasks.append(self._activity(play, asked))
                else:
                    self._later(self._activities, self._activity(play, asked))
            elif command.command_type == CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION:
                play.ended.set_result(None)
            elif command.command_type == CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION:
                _fail(play, str(command.fail_workflow_execution_command_attributes.failure.message))
        if not play.ended.done():
            play.turn += 1
            if not self._recording.turns[play.turn].after_activity:
                self._later(self._turns[play.queue], play)
        await asyncio.sleep(self._latency)
        return answer

    async def RespondWorkflowTaskFailed(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        if play := self._plays.get(request.task_token):
            _fail(play, str(request.failure.message))
        return RespondWorkflowTaskFailedResponse()

    async def PollActivityTaskQueue(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        return await _next(self._activities) or PollActivityTaskQueueResponse()

    async def RespondActivityTaskCompleted(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's
        if play := self._plays.get(request.task_token):
            self._later(self._turns[play.queue], play)
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

    def _task(self, play: Play) -> PollWorkflowTaskQueueResponse:
        turn, was = self._recording.turns[play.turn], self._recording
        told = turn.events.replace(was.order_id.encode(), play.order_id.encode())
        told = told.replace(was.run_id.encode(), play.run_id.encode())
        task = PollWorkflowTaskQueueResponse(
            task_token=play.run_id.encode(),
            workflow_execution=self._execution(play),
            workflow_type=WorkflowType(name=was.workflow_type),
            previous_started_event_id=turn.before,
            started_event_id=turn.started,
            attempt=1,
            history=History.FromString(told),
        )
        task.workflow_execution_task_queue.name = self._task_queue
        task.scheduled_time.GetCurrentTime()
        task.started_time.GetCurrentTime()
        return task

    def _activity(self, play: Play, asked: ScheduleActivityTaskCommandAttributes) -> PollActivityTaskQueueResponse:
        task = PollActivityTaskQueueResponse(
            task_token=play.run_id.encode(),
            workflow_namespace="default",
            workflow_type=WorkflowType(name=self._recording.workflow_type),
            workflow_execution=self._execution(play),
            activity_type=asked.activity_type,
            activity_id=asked.activity_id,
            header=asked.header,
            input=asked.input,
            attempt=1,
            schedule_to_close_timeout=asked.schedule_to_close_timeout,
            start_to_close_timeout=asked.start_to_close_timeout,
            heartbeat_timeout=asked.heartbeat_timeout,
            retry_policy=asked.retry_policy,
        )
        for moment in (task.scheduled_time, task.current_attempt_scheduled_time, task.started_time):
            moment.GetCurrentTime()
        return task

    def _execution(self, play: Play) -> WorkflowExecution:
        workflow_id = self._recording.workflow_id.replace(self._recording.order_id, play.order_id)
        return WorkflowExecution(workflow_id=workflow_id, run_id=play.run_id)

    def _later(self, queue: asyncio.Queue[Task], task: Task) -> None:
        asyncio.get_running_loop().call_later(self._latency, queue.put_nowait, task)


async def _next(queue: asyncio.Queue[Task]) -> Task | None:
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            return await queue.get()
    except TimeoutError:
        return None


def _fail(play: Play, why: str) -> None:
    if not play.ended.done():
        play.ended.set_exception(AssertionError(f"{play.order_id}: {why}"))


@asynccontextmanager
async def listening(stub: ServerStub) -> AsyncIterator[str]:
    """Serve the stub; its address."""
    server = grpc.aio.server()
    add_WorkflowServiceServicer_to_server(stub, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
