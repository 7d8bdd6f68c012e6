"""Hands a role's metrics to Prometheus' default registry, once a process. The command line calls it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry
from temporalio.runtime import PrometheusConfig

from orderfleet import __version__
from orderfleet.observability.metrics import BUILD, CATALOG, LONG, SHORT, WORKERS, Declared, Exposer


def expose(role: str, registry: CollectorRegistry = REGISTRY, *, build: str = "") -> None:
    """Expose the metrics of `role`; a worker that serves both queues exposes those of both workers.

    Args:
        role: of the process.
        registry: to expose them in.
        build: id of the worker's build, where it has one: two builds may be of one version of the product.
    """
    exposers = set(WORKERS) if role == "worker" else {Exposer(role)}
    for declared in CATALOG:
        if exposers & set(declared.roles):
            registry.register(declared.metric)
    BUILD.labels(
        role=role, version=build or __version__, python=platform.python_version(), temporalio=version("temporalio")
    ).set(1)


_HEAD: Final = """# Metrics

Made by `python -m orderfleet.telemetry`; what each says is declared in
`workers/orderfleet/telemetry/catalog/`. A histogram `x` is scraped as `x_bucket`, `x_sum` and `x_count`.
Every role serves `/metrics` on its health port; a process exposes the metrics
of its role only. Asked for OpenMetrics, histograms and counters carry the trace id of the last traced
observation as an exemplar.

| metric | type | labels | exposed by | |
|---|---|---|---|---|
"""


_CORE: Final = """
## Of Temporal's SDK

A worker whose `ORDERFLEET_TEMPORAL_METRICS_PORT` isn't 0 serves the SDK's own metrics there, as `temporal_…`:
durations in seconds with their unit in the name, counters with `_total`, and latencies in buckets from 5 ms
to 30 days where people or retries may be waited for. Two names read otherwise than one expects, because the
SDK makes them so: `temporal_local_activity_total_total`, and `sticky_workflow_task` (not `workflow_sticky_task`)
as a poller's type. `temporal_worker_task_slots_available` exists because our workers have a fixed number of slots.
Their meaning: https://docs.temporal.io/references/sdk-metrics
"""


_RULES: Final = """
## Recorded by the rules

`deploy/rules` has Prometheus record, for the windows 5m, 30m, 1h, 6h and 3d, `orderfleet:api_errors:ratio5m` (share of
the API's answers that were 5xx) and `orderfleet:orders_late:ratio5m` (share of the orders that ended, canceled ones
left out, that failed or shipped later than a day after their start), and so on. The budget alerts are reckoned by them.
"""


def markdown() -> str:
    """The whole page."""
    return _HEAD + "".join(_row(declared) for declared in CATALOG) + _CORE + _RULES


def _row(declared: Declared) -> str:
    labels = "<br>".join(f"`{name}`: {values}" for name, values in declared.labels.items())
    roles = "<br>".join(declared.roles)
    return f"| `{declared.name}` | {declared.kind} | {labels} | {roles} | {declared.help} |\n"


LONG_LATENCIES: Final = (
    "workflow_endtoend_latency",
    "activity_schedule_to_start_latency",
    "activity_succeed_endtoend_latency",
    "local_activity_succeed_endtoend_latency",
    "workflow_task_schedule_to_start_latency",
)

"""These may last as long as people, retries or a backlog make them."""

SHORT_LATENCIES: Final = (
    "activity_execution_latency",
    "local_activity_execution_latency",
    "workflow_task_execution_latency",
    "workflow_task_replay_latency",
    "request_latency",
    "long_request_latency",
)

"""These a time-out ends."""


def prometheus(address: str) -> PrometheusConfig:
    """The SDK's Prometheus port at `address` (`host:port`)."""
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        durations_as_seconds=True,
        unit_suffix=True,
        histogram_bucket_overrides={
            **dict.fromkeys(LONG_LATENCIES, LONG),
            **dict.fromkeys(SHORT_LATENCIES, SHORT),
        },
    )
