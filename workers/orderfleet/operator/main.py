"""The operator's composition root: settings to parts. `orderfleet operator` runs it.

Temporal, Postgres and the API server may all be away when it starts; each is waited for.
"""

from __future__ import annotations

import asyncio

import kopf

from orderfleet.client import OrderClient
from orderfleet.operator import access
from orderfleet.operator.app import Operator
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.survey import keep_taking
from orderfleet.operator.watch import kopf_settings
from orderfleet.runtime.backlog import Backlog
from orderfleet.runtime.health import HealthServer
from orderfleet.runtime.process import Stop
from orderfleet.runtime.renewal import renewed
from orderfleet.runtime.settings import Settings
from orderfleet.runtime.temporal import connect as connect_temporal
from orderfleet.store import BacklogSampler, Feed, OrderReads, connect
from orderfleet.telemetry.feed import FeedMetrics, show_lag
from orderfleet.telemetry.operator import OperatorMetrics, show
from orderfleet.telemetry.survey import BacklogMetrics, RecordSurveyMetrics


def login() -> kopf.ConnectionInfo:
    """The credentials of our own writes: the same as kopf's."""
    return access.login(kopf_settings())


async def run(settings: Settings, stop: Stop) -> None:
    """Run the operator until asked to stop."""
    metrics = OperatorMetrics()
    temporal = await connect_temporal(settings, lazy=True)
    async with (
        renewed(temporal, settings),
        connect(settings, "operator") as database,
        Kubernetes(login, connections=settings.operator_concurrency + 4, called=metrics.called) as kubernetes,
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
        show(lambda: len(operator.queue), operator.memory.steps)
        backlog = Backlog(temporal, [settings.orders_task_queue, settings.shipping_task_queue])
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
