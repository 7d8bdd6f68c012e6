"""Measures statements and the pool, and makes a span of each statement within a trace. Implements `DatabaseObserver`.

The values of a statement never leave: names of customers and addresses are among them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.telemetry.catalog import (
    DATABASE_DURATION,
    DATABASE_IN_USE,
    DATABASE_POOL_SIZE,
    DATABASE_WAIT,
    DATABASE_WAITING,
)
from orderfleet.telemetry.current import TRACER, exemplar


class _Timed:
    """One statement: first it waits, then it has a connection."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self._holds = False
        DATABASE_WAITING.inc()

    def connected(self) -> None:
        """The wait is over."""
        DATABASE_WAIT.observe(time.perf_counter() - self.began, exemplar=exemplar())
        DATABASE_WAITING.dec()
        DATABASE_IN_USE.inc()
        self._holds = True

    def end(self) -> None:
        """Whatever it held is free again."""
        (DATABASE_IN_USE if self._holds else DATABASE_WAITING).dec()


class DatabaseMetrics:
    """Statements by name.

    Args:
        pool_size: connections the pool holds at most.
    """

    def __init__(self, pool_size: int) -> None:
        DATABASE_POOL_SIZE.set(pool_size)

    @contextmanager
    def operation(self, name: str) -> Iterator[_Timed]:
        """Measure one statement."""
        with _span(name) as span:
            timed, outcome = _Timed(), "error"
            try:
                yield timed
            except BaseException as error:
                outcome = _outcome(error)
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
            else:
                outcome = "ok"
            finally:
                timed.end()
                DATABASE_DURATION.labels(operation=name, outcome=outcome).observe(
                    time.perf_counter() - timed.began, exemplar=exemplar()
                )


@contextmanager
def _span(name: str) -> Iterator[trace.Span]:
    if not trace.get_current_span().get_span_context().is_valid:
        # The feed looks each second: that is no trace of its own.
        yield trace.INVALID_SPAN
        return
    attributes = {"db.system.name": "postgresql", "db.operation.name": name}
    with TRACER.start_as_current_span(
        f"SQL {name}",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "canceled"
    if isinstance(error, StoreUnavailable | TimeoutError | OSError):
        return "unavailable"
    return "error"
