"""Metrics and spans of SQL statements, the connection pool and the change feed.

It must never export a statement's values: names and addresses of customers are among them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Self

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Histogram

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.observability import metrics
from orderfleet.observability.tracing import TRACER, exemplar


class DatabaseOperation:
    """Measures the statement `name`. A class, because an order has seven statements and a generator costs more time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._connected = False

    def __enter__(self) -> Self:
        self._span = _span(self._name)
        self._exemplar = exemplar()
        self._started = time.perf_counter()
        metrics.DATABASE_WAITING.inc()
        return self

    def connected(self) -> None:
        """Record the end of the wait for a connection."""
        metrics.DATABASE_WAIT.observe(time.perf_counter() - self._started, exemplar=self._exemplar)
        metrics.DATABASE_WAITING.dec()
        metrics.DATABASE_IN_USE.inc()
        self._connected = True

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        (metrics.DATABASE_IN_USE if self._connected else metrics.DATABASE_WAITING).dec()
        outcome = "ok" if error is None else _outcome(error)
        _duration(self._name, outcome).observe(time.perf_counter() - self._started, exemplar=self._exemplar)
        if self._span is None:
            return
        if error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()


@cache
def _duration(name: str, outcome: str) -> Histogram:
    """The histogram of a statement's outcome. Names and outcomes are bounded, and so is the cache."""
    return metrics.DATABASE_DURATION.labels(operation=name, outcome=outcome)


def _span(name: str) -> trace.Span | None:
    """A span in the current trace; None outside of a trace, and in a trace that isn't sampled.

    The change feed polls each second outside of a trace: each poll would be a trace of its own.
    """
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return None
    return TRACER.start_span(
        f"SQL {name}", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql", "db.operation.name": name}
    )


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "canceled"
    if isinstance(error, StoreUnavailable | TimeoutError | OSError):
        return "unavailable"
    return "error"


def export_lag(lag: Callable[[], timedelta | None]) -> None:
    """Export the change feed's lag as of each scrape.

    Args:
        lag: called in the event loop; None before the feed has started.
    """

    def seconds() -> float:
        current = lag()
        return float("nan") if current is None else current.total_seconds()

    metrics.CHANGE_FEED_LAG.set_function(seconds)
