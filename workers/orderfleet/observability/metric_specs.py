"""How a metric is defined: its name, labels, buckets, and the roles that expose it; the list of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector


class Exposer(StrEnum):
    """A role that exposes metrics."""

    ORDERS = "orders-worker"
    SHIPPING = "shipping-worker"
    OPERATOR = "operator"
    API = "api"


@dataclass(frozen=True)
class MetricSpec:
    """The definition of a metric."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, str]
    """Values of each label, for the documentation."""
    roles: tuple[Exposer, ...]
    metric: Collector


CATALOG: Final[list[MetricSpec]] = []
"""All metrics, in the order of deploy/docs/metrics.md."""


ORDERS_ONLY: Final = (Exposer.ORDERS,)
WORKERS: Final = (Exposer.ORDERS, Exposer.SHIPPING)
OPERATOR_ONLY: Final = (Exposer.OPERATOR,)
ALL: Final = tuple(Exposer)


_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

LONG: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR),
    *(_DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY),
)
"""Bucket bounds in seconds, 5 ms to 30 days, for durations that can include a wait for people."""

SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0)
"""Bucket bounds in seconds, 1 ms to 1 min, for durations that a timeout bounds."""

CALLS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 13.0)
"""Bucket bounds for a number of calls."""


def counter(name: str, description: str, roles: tuple[Exposer, ...], **labels: str) -> Counter:
    """Define a counter; `labels` describe the values of each label."""
    metric = Counter(name, description, tuple(labels), registry=None)
    CATALOG.append(MetricSpec(name, "counter", description, labels, roles, metric))
    return metric


def gauge(name: str, description: str, roles: tuple[Exposer, ...], **labels: str) -> Gauge:
    """Define a gauge; `labels` describe the values of each label."""
    metric = Gauge(name, description, tuple(labels), registry=None)
    CATALOG.append(MetricSpec(name, "gauge", description, labels, roles, metric))
    return metric


def histogram(
    name: str, description: str, roles: tuple[Exposer, ...], buckets: Sequence[float], **labels: str
) -> Histogram:
    """Define a histogram with bucket bounds; `labels` describe the values of each label."""
    metric = Histogram(name, description, tuple(labels), registry=None, buckets=buckets)
    CATALOG.append(MetricSpec(name, "histogram", description, labels, roles, metric))
    return metric


def values(*allowed: str) -> str:
    """The allowed values of a label, for the documentation."""
    return ", ".join(f"`{value}`" for value in allowed)
