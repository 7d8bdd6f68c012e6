"""Samples the backlog of task queues in Temporal.

The server's counts are approximate. They include waiting tasks only, not those that a worker executes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from orderfleet.domain.errors import OrderfleetError
from orderfleet.observability.operator_metrics import BacklogKind, BacklogSample

_TIMEOUT: Final = timedelta(seconds=5)
_KINDS: Final = {
    BacklogKind.WORKFLOW_TASK: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    BacklogKind.ACTIVITY_TASK: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class BacklogUnavailable(OrderfleetError):
    """Temporal did not answer."""


class TaskQueueSampler:
    """Samples the backlog of task queues.

    Args:
        temporal: a client; it may connect at the first call.
        queues: names of the task queues.
    """

    def __init__(self, temporal: Client, queues: Sequence[str]) -> None:
        self._temporal = temporal
        self._queues = queues

    async def take(self) -> list[BacklogSample]:
        """Return the waiting tasks by queue and kind.

        Raises:
            BacklogUnavailable: Temporal did not answer.
        """
        return [await self._sample(queue, kind) for queue in self._queues for kind in _KINDS]

    async def _sample(self, queue: str, kind: BacklogKind) -> BacklogSample:
        request = DescribeTaskQueueRequest(
            namespace=self._temporal.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=_KINDS[kind],
            report_stats=True,
        )
        try:
            description = await self._temporal.workflow_service.describe_task_queue(request, timeout=_TIMEOUT)
        except (RPCError, RuntimeError) as error:
            raise BacklogUnavailable(f"the backlog of {queue} can't be read: {error}") from error
        age = description.stats.approximate_backlog_age
        return BacklogSample(kind, queue, description.stats.approximate_backlog_count, age.seconds + age.nanos / 1e9)
