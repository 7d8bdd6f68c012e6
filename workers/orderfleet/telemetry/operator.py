"""Measures the operator: looks at Orders, calls to the API server, what waits. The operator's parts call it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.contracts.status import Step
from orderfleet.telemetry.catalog import (
    KUBERNETES_CALLS,
    OPERATOR_ORDERS,
    QUEUE_DEPTH,
    RECONCILE_CALLS,
    RECONCILE_DURATION,
    RECONCILES,
)
from orderfleet.telemetry.current import exemplar

NO_STEP: Final = "none"
_RESULTS: Final = {
    "TemporalUnavailable": "temporal_away",
    "StoreUnavailable": "postgres_away",
    "KubernetesUnavailable": "kubernetes_away",
}

_calls: ContextVar[list[None] | None] = ContextVar("calls of this look", default=None)


class OperatorMetrics:
    """Looks and calls."""

    @contextmanager
    def look(self) -> Iterator[None]:
        """Stands around one look at an Order."""
        began, result = time.perf_counter(), "ok"
        calls: list[None] = []
        token = _calls.set(calls)
        try:
            yield
        except Exception as error:
            known = isinstance(error, OrderfleetError)
            result = _RESULTS.get(type(error).__name__, "refused" if known else "error")
            raise
        finally:
            _calls.reset(token)
            RECONCILES.labels(result=result).inc(exemplar=exemplar())
            RECONCILE_DURATION.observe(time.perf_counter() - began, exemplar=exemplar())
            RECONCILE_CALLS.observe(len(calls))

    def called(self, verb: str, status: int | None) -> None:
        """A call to the API server was answered, or not."""
        KUBERNETES_CALLS.labels(verb=verb.lower(), status=str(status or "none")).inc()
        calls = _calls.get()
        if calls is not None:
            calls.append(None)


def show(depth: Callable[[], int], orders: Callable[[], Mapping[str, int]]) -> None:
    """Have each scrape ask for the queue's depth and the number of Orders by step."""
    QUEUE_DEPTH.set_function(depth)
    counted: Counter[str] = Counter()

    def first() -> float:
        # Once a scrape: the steps are asked for in the order in which they were made.
        counted.clear()
        counted.update(orders())
        return counted[NO_STEP]

    OPERATOR_ORDERS.labels(step=NO_STEP).set_function(first)
    for step in Step:
        OPERATOR_ORDERS.labels(step=step).set_function(partial(counted.__getitem__, step))
