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
from orderfleet.operator import kubernetes as access
from orderfleet.operator.controller import Operator
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.watch import kopf_settings
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import connect
from orderfleet.store.reads import BacklogSampler, OrderReads
from orderfleet.temporal.connection import connect as connect_temporal
from orderfleet.temporal.credential_reload import reload_credentials
from orderfleet.temporal.task_queues import TaskQueueSampler

_log = structlog.get_logger()


GAP: Final = 15.0

"""Seconds between two surveys: about as often as Prometheus looks."""


class Survey(Protocol):
    """Counts what waits."""

    async def take(self) -> list[BacklogSample]:
        """Count now; raises an `OrderfleetError` when nobody answers."""


class Shown(Protocol):
    """Where a survey is shown."""

    def show(self, found: Sequence[BacklogSample] | None) -> None:
        """Show a survey, or that there is none."""


async def keep_taking(survey: Survey, shown: Shown, gap: float = GAP) -> None:
    """Take a survey again and again until canceled."""
    away = False
    while True:
        try:
            shown.show(await survey.take())
            away = False
        except OrderfleetError as error:
            shown.show(None)
            if not away:
                _log.warning("a survey can't be taken", error=str(error))
            away = True
        await asyncio.sleep(gap)


def login() -> kopf.ConnectionInfo:
    """The credentials of our own writes: the same as kopf's."""
    return access.login(kopf_settings())


async def run(settings: Settings, stop: Stop) -> None:
    """Run the operator until asked to stop."""
    metrics = OperatorMetrics()
    temporal = await connect_temporal(settings, lazy=True)
    async with (
        reload_credentials(temporal, settings),
        connect(settings, "operator") as database,
        Kubernetes(login, connections=settings.operator_concurrency + 4, called=metrics.called) as kubernetes,
    ):
        feed = PostgresChangeFeed(database, observer=FeedMetrics())
        operator = Operator(
            settings,
            OrderClient.of(temporal, settings),
            OrderReads(database),
            feed,
            kubernetes,
            metrics.look,
        )
        show_lag(lambda: feed.behind)
        show(lambda: len(operator.queue), operator.memory.steps)
        backlog = TaskQueueSampler(temporal, [settings.orders_task_queue, settings.shipping_task_queue])
        surveys = [
            asyncio.create_task(keep_taking(BacklogSampler(database), RecordSurveyMetrics())),
            asyncio.create_task(keep_taking(backlog, BacklogMetrics())),
        ]
        try:
            async with HealthServer(settings.health_host, settings.health_port, operator.not_ready):
                await operator.run(stop)
        finally:
            for survey in surveys:
                survey.cancel()
