"""The operator's process: connects its services, exports backlog metrics and runs the controller.

The backlog is that of the whole fleet. Where a sample fails, its metrics are absent instead of old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import kopf
import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from orderfleet.domain.errors import OrderfleetError
from orderfleet.observability.database_metrics import export_lag
from orderfleet.observability.health import serve_health
from orderfleet.observability.operator_metrics import (
    BacklogKind,
    BacklogSample,
    OperatorMetrics,
    export_backlog,
    export_queue,
    export_unfinished_orders,
)
from orderfleet.operator import kubernetes as kubernetes_access
from orderfleet.operator.controller import Operator, kopf_settings
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import connect
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.connection import connect as connect_temporal
from orderfleet.temporal.connection import reload_credentials

_log = structlog.get_logger()


SAMPLE_INTERVAL: Final = 15.0
"""Seconds between two samples of the backlog: about the scrape interval of Prometheus."""


_KINDS: Final = {
    BacklogKind.WORKFLOW_TASK: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    BacklogKind.ACTIVITY_TASK: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}
_DESCRIBE_TIMEOUT: Final = timedelta(seconds=5)


class BacklogUnavailable(OrderfleetError):
    """Temporal did not answer."""


async def sample_task_queues(temporal: Client, queues: Sequence[str]) -> list[BacklogSample]:
    """Return the waiting tasks by queue and kind. The server's counts are approximate.

    Args:
        temporal: a client; it may connect at the first call.
        queues: names of the task queues.

    Raises:
        BacklogUnavailable: Temporal did not answer.
    """
    return [await _sample_task_queue(temporal, queue, kind) for queue in queues for kind in _KINDS]


async def _sample_task_queue(temporal: Client, queue: str, kind: BacklogKind) -> BacklogSample:
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=_KINDS[kind],
        report_stats=True,
    )
    try:
        description = await temporal.workflow_service.describe_task_queue(request, timeout=_DESCRIBE_TIMEOUT)
    except (RPCError, RuntimeError) as error:
        raise BacklogUnavailable(f"the backlog of {queue} can't be read: {error}") from error
    age = description.stats.approximate_backlog_age
    return BacklogSample(kind, queue, description.stats.approximate_backlog_count, age.seconds + age.nanos / 1e9)


async def _sample_periodically(
    take: Callable[[], Awaitable[list[BacklogSample]]], export: Callable[[Sequence[BacklogSample] | None], None]
) -> None:
    """Sample a backlog and export its metrics at an interval, until canceled.

    Args:
        take: samples the backlog, or raises an `OrderfleetError` if the sampled service does not respond.
        export: exports the samples; gets None while the service does not respond.
    """
    unavailable = False
    while True:
        try:
            export(await take())
            unavailable = False
        except OrderfleetError as error:
            export(None)
            if not unavailable:
                _log.warning("could not sample the backlog", error=str(error))
            unavailable = True
        await asyncio.sleep(SAMPLE_INTERVAL)


def login() -> kopf.ConnectionInfo:
    """Read the API server's credentials with kopf's settings."""
    return kubernetes_access.login(kopf_settings())


async def run(settings: Settings, stop: Stop) -> None:
    """Run the operator until `stop`.

    Args:
        settings: of the process.
        stop: requests the end.
    """
    metrics = OperatorMetrics()
    temporal = await connect_temporal(settings, lazy=True)
    async with (
        reload_credentials(temporal, settings),
        connect(settings, "operator") as database,
        Kubernetes(login, connections=settings.operator_concurrency + 4, on_call=metrics.called) as kubernetes,
    ):
        feed, reads = PostgresChangeFeed(database), OrderReads(database)
        operator = Operator(settings, OrderClient.of(temporal, settings), reads, feed, kubernetes, metrics.reconcile)
        export_lag(lambda: feed.behind)
        export_queue(lambda: len(operator.queue), operator.cache.count_by_step)
        queues = partial(sample_task_queues, temporal, [settings.orders_task_queue, settings.shipping_task_queue])
        samplers = [
            asyncio.create_task(_sample_periodically(reads.backlog, export_unfinished_orders)),
            asyncio.create_task(_sample_periodically(queues, export_backlog)),
        ]
        try:
            async with serve_health(settings.health_host, settings.health_port, operator.not_ready):
                await operator.run(stop)
        finally:
            for sampler in samplers:
                sampler.cancel()
