"""The operator's process: connects its services, exports backlog metrics and runs the controller.

The backlog is that of the whole fleet. Where a sample fails, its metrics are absent instead of old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import kopf
import structlog

from orderfleet.domain.errors import OrderfleetError
from orderfleet.observability.database_metrics import export_lag
from orderfleet.observability.health import HealthServer
from orderfleet.observability.operator_metrics import (
    BacklogSample,
    OperatorMetrics,
    export_backlog,
    export_queue,
    export_unfinished_orders,
)
from orderfleet.operator import kubernetes as kubernetes_access
from orderfleet.operator.controller import Operator
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.watch import kopf_settings
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import connect
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.connection import connect as connect_temporal
from orderfleet.temporal.connection import reload_credentials
from orderfleet.temporal.task_queues import TaskQueueSampler

_log = structlog.get_logger()


SAMPLE_INTERVAL: Final = 15.0
"""Seconds between two samples of the backlog: about the scrape interval of Prometheus."""


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
        queues = TaskQueueSampler(temporal, [settings.orders_task_queue, settings.shipping_task_queue])
        samplers = [
            asyncio.create_task(_sample_periodically(reads.backlog, export_unfinished_orders)),
            asyncio.create_task(_sample_periodically(queues.take, export_backlog)),
        ]
        try:
            async with HealthServer(settings.health_host, settings.health_port, operator.not_ready):
                await operator.run(stop)
        finally:
            for sampler in samplers:
                sampler.cancel()
