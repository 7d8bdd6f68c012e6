"""How a metric is declared: its name, help text, labels, buckets and the roles that expose it.

The modules beside it declare with these; nothing is registered with Prometheus here, `exposition` does that.
A label must never hold an id, a name or a text.
"""

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
class Declared:
    """One metric as it was declared."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, str]
    """What each label holds."""
    roles: tuple[Exposer, ...]
    metric: Collector


CATALOG: Final[list[Declared]] = []
"""All metrics, in the order of the page."""

ORDERS_ONLY: Final = (Exposer.ORDERS,)
WORKERS: Final = (Exposer.ORDERS, Exposer.SHIPPING)
OPERATOR_ONLY: Final = (Exposer.OPERATOR,)
API_ONLY: Final = (Exposer.API,)
ALL: Final = tuple(Exposer)

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
LONG: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR),
    *(_DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY),
)
"""Bounds in seconds, 5 ms to 30 days: of what may wait for people."""
SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0)
"""Bounds in seconds, 1 ms to 1 min: of what a time-out ends."""
CALLS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 13.0)


def counter(name: str, told: str, roles: tuple[Exposer, ...], **labels: str) -> Counter:
    """Declare a counter; `labels` say what each holds."""
    made = Counter(name, told, tuple(labels), registry=None)
    CATALOG.append(Declared(name, "counter", told, labels, roles, made))
    return made


def gauge(name: str, told: str, roles: tuple[Exposer, ...], **labels: str) -> Gauge:
    """Declare a gauge; `labels` say what each holds."""
    made = Gauge(name, told, tuple(labels), registry=None)
    CATALOG.append(Declared(name, "gauge", told, labels, roles, made))
    return made


def histogram(name: str, told: str, roles: tuple[Exposer, ...], buckets: Sequence[float], **labels: str) -> Histogram:
    """Declare a histogram with bounds at `buckets`; `labels` say what each holds."""
    made = Histogram(name, told, tuple(labels), registry=None, buckets=buckets)
    CATALOG.append(Declared(name, "histogram", told, labels, roles, made))
    return made


def values(*allowed: str) -> str:
    """All that a label may hold, for the page."""
    return ", ".join(f"`{value}`" for value in allowed)
