"""Measures the operator: looks at Orders, calls to the API server, what waits. The operator's parts call it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final

from prometheus_client import Gauge

from orderfleet.domain.backlog import BacklogSample, WaitKind
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.observability.metrics import (
    BACKLOG,
    BACKLOG_AGE,
    KUBERNETES_CALLS,
    OPEN_ORDER_OLDEST,
    OPEN_ORDERS,
    OPEN_PAYMENT_OLDEST,
    OPEN_PAYMENTS,
    OPERATOR_ORDERS,
    OVERDUE_ORDER_OLDEST,
    OVERDUE_ORDERS,
    QUEUE_DEPTH,
    RECONCILE_CALLS,
    RECONCILE_DURATION,
    RECONCILES,
)
from orderfleet.observability.tracing import exemplar

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


_STEPS = (Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPING)

_STATUSES = (PaymentStatus.INIT, PaymentStatus.CHARGED, PaymentStatus.REFUNDING)


_SHOWN = (
    *(OPEN_ORDERS, OPEN_ORDER_OLDEST, OVERDUE_ORDERS, OVERDUE_ORDER_OLDEST),
    *(OPEN_PAYMENTS, OPEN_PAYMENT_OLDEST),
)


class RecordSurveyMetrics:
    """What the record says is unfinished."""

    def show(self, found: Sequence[BacklogSample] | None) -> None:
        """Show it; a step or status where nothing waits shows 0."""
        for gauge in _SHOWN:
            gauge.clear()
        if found is None:
            return
        places = {(one.kind, one.place): one for one in found}
        for step in _STEPS:
            _set(OPEN_ORDERS, OPEN_ORDER_OLDEST, places.get((WaitKind.ORDER, step)), step=step)
            _set(OVERDUE_ORDERS, OVERDUE_ORDER_OLDEST, places.get((WaitKind.OVERDUE_ORDER, step)), step=step)
        for status in _STATUSES:
            _set(OPEN_PAYMENTS, OPEN_PAYMENT_OLDEST, places.get((WaitKind.PAYMENT, status)), status=status.lower())


class BacklogMetrics:
    """What Temporal says waits in the queues."""

    def show(self, found: Sequence[BacklogSample] | None) -> None:
        """Show it."""
        BACKLOG.clear()
        BACKLOG_AGE.clear()
        for one in found or ():
            _set(BACKLOG, BACKLOG_AGE, one, task_queue=one.place, kind=one.kind)


def _set(count: Gauge, oldest: Gauge, found: BacklogSample | None, **labels: str) -> None:
    count.labels(**labels).set(found.count if found else 0)
    oldest.labels(**labels).set(found.oldest if found else 0)
