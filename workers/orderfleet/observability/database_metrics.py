"""Measures statements and the pool, and makes a span of each statement within a trace. Implements `DatabaseObserver`.

The values of a statement never leave: names of customers and addresses are among them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Histogram

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.observability.metrics import (
    DATABASE_DURATION,
    DATABASE_IN_USE,
    DATABASE_POOL_SIZE,
    DATABASE_WAIT,
    DATABASE_WAITING,
    FEED_CHANGES,
    FEED_LAG,
    FEED_LAG_ROWS,
)
from orderfleet.observability.observers import Operation
from orderfleet.observability.tracing import TRACER, exemplar


class _Operation:
    """One statement: first it waits, then it has a connection. A class, as it is made seven times an order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._holds = False

    def __enter__(self) -> Self:
        self._span = _span(self._name)
        self._exemplar = exemplar()
        self._began = time.perf_counter()
        DATABASE_WAITING.inc()
        return self

    def connected(self) -> None:
        """The wait is over."""
        DATABASE_WAIT.observe(time.perf_counter() - self._began, exemplar=self._exemplar)
        DATABASE_WAITING.dec()
        DATABASE_IN_USE.inc()
        self._holds = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (DATABASE_IN_USE if self._holds else DATABASE_WAITING).dec()
        outcome = "ok" if error is None else _outcome(error)
        _duration(self._name, outcome).observe(time.perf_counter() - self._began, exemplar=self._exemplar)
        if self._span is None:
            return
        if error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()


class DatabaseMetrics:
    """Statements by name.

    Args:
        pool_size: connections the pool holds at most.
    """

    def __init__(self, pool_size: int) -> None:
        DATABASE_POOL_SIZE.set(pool_size)

    def operation(self, name: str) -> AbstractContextManager[Operation]:
        """Measure one statement."""
        return _Operation(name)


@cache
def _duration(name: str, outcome: str) -> Histogram:
    """The histogram of a statement's outcome; both are few."""
    return DATABASE_DURATION.labels(operation=name, outcome=outcome)


def _span(name: str) -> trace.Span | None:
    """A span within the current trace, which it doesn't become: nothing is done inside of a statement.

    None outside of any (the feed looks each second: that is no trace of its own), and in one that isn't kept.
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


class FeedMetrics:
    """Rows and seconds behind, changes told."""

    def behind(self, rows: int) -> None:
        """Rows that wait."""
        FEED_LAG_ROWS.set(rows)

    def told(self, rows: int) -> None:
        """Rows that the follower took."""
        FEED_CHANGES.inc(rows)


def show_lag(behind: Callable[[], timedelta | None]) -> None:
    """Have each scrape ask how long the follower is behind; it must be asked within the event loop."""

    def seconds() -> float:
        lag = behind()
        return float("nan") if lag is None else lag.total_seconds()

    FEED_LAG.set_function(seconds)
