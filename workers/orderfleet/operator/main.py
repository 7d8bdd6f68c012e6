"""Takes surveys of what waits, for the metrics: of the record and of Temporal's queues, every few seconds.

One operator does it for the whole fleet. A survey that can't be taken shows nothing rather than old numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import kopf
import structlog

from orderfleet.domain.backlog import BacklogSample
from orderfleet.domain.errors import OrderfleetError
from orderfleet.observability.database_metrics import FeedMetrics, show_lag
from orderfleet.observability.health import HealthServer
from orderfleet.observability.operator_metrics import BacklogMetrics, OperatorMetrics, RecordSurveyMetrics, show
from orderfleet.operator import kubernetes as kubernetes_access
from orderfleet.operator.controller import Operator
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.watch import kopf_settings
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import Feed
from orderfleet.store.pool import connect
from orderfleet.store.reads import BacklogSampler, OrderReads
from orderfleet.temporal.connection import connect as connect_temporal
from orderfleet.temporal.credential_reload import reload_credentials
from orderfleet.temporal.task_queues import Backlog

_log = structlog.get_logger()


SAMPLE_INTERVAL: Final = 15.0

"""Seconds between two surveys: about as often as Prometheus looks."""


class Sampler(Protocol):
    """Counts what waits."""

    async def take(self) -> list[BacklogSample]:
        """Count now; raises an `OrderfleetError` when nobody answers."""


class SampleMetrics(Protocol):
    """Where a survey is shown."""

    def show(self, samples: Sequence[BacklogSample] | None) -> None:
        """Show a survey, or that there is none."""


async def sample_periodically(sampler: Sampler, metrics: SampleMetrics, interval: float = SAMPLE_INTERVAL) -> None:
    """Take a survey again and again until canceled."""
    unavailable = False
    while True:
        try:
            metrics.show(await sampler.take())
            unavailable = False
        except OrderfleetError as error:
            metrics.show(None)
            if not unavailable:
                _log.warning("a survey can't be taken", error=str(error))
            unavailable = True
        await asyncio.sleep(interval)


def login() -> kopf.ConnectionInfo:
    """The credentials of our own writes: the same as kopf's."""
    return kubernetes_access.login(kopf_settings())


async def run(settings: Settings, stop: Stop) -> None:
    """Run the operator until asked to stop."""
    metrics = OperatorMetrics()
    temporal = await connect_temporal(settings, lazy=True)
    async with (
        reload_credentials(temporal, settings),
        connect(settings, "operator") as database,
        Kubernetes(login, connections=settings.operator_concurrency + 4, on_call=metrics.called) as kubernetes,
    ):
        feed = Feed(database, observer=FeedMetrics())
        operator = Operator(
            settings,
            OrderClient.of(temporal, settings),
            OrderReads(database),
            feed,
            kubernetes,
            metrics.look,
        )
        show_lag(lambda: feed.behind)
        show(lambda: len(operator.queue), operator.cache.count_by_step)
        backlog = Backlog(temporal, [settings.orders_task_queue, settings.shipping_task_queue])
        samplers = [
            asyncio.create_task(sample_periodically(BacklogSampler(database), RecordSurveyMetrics())),
            asyncio.create_task(sample_periodically(backlog, BacklogMetrics())),
        ]
        try:
            async with HealthServer(settings.health_host, settings.health_port, operator.not_ready):
                await operator.run(stop)
        finally:
            for sampler in samplers:
                sampler.cancel()
