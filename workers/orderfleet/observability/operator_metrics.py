"""Metrics of the operator: reconciliations, calls to the API server, its queue, and samples of unfinished work."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from prometheus_client import Gauge

from orderfleet.domain.differences import DifferenceKind
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.status import HoldName, PaymentStatus, Step
from orderfleet.observability import metrics
from orderfleet.observability.tracing import exemplar

NO_STEP: Final = "none"

_RESULTS: Final = {
    "TemporalUnavailable": "temporal_unavailable",
    "StoreUnavailable": "postgres_unavailable",
    "KubernetesUnavailable": "kubernetes_unavailable",
}


_calls: ContextVar[list[None] | None] = ContextVar("calls of this reconciliation", default=None)


class OperatorMetrics:
    """Metrics of reconciliations and of the API calls that they make."""

    @contextmanager
    def reconcile(self) -> Iterator[None]:
        """Measure the reconciliation inside."""
        started, result = time.perf_counter(), "ok"
        calls: list[None] = []
        token = _calls.set(calls)
        try:
            yield
        except Exception as error:
            known = isinstance(error, OrderfleetError)
            result = _RESULTS.get(type(error).__name__, "rejected" if known else "error")
            raise
        finally:
            _calls.reset(token)
            metrics.RECONCILES.labels(result=result).inc(exemplar=exemplar())
            metrics.RECONCILE_DURATION.observe(time.perf_counter() - started, exemplar=exemplar())
            metrics.RECONCILE_CALLS.observe(len(calls))

    def called(self, verb: str, status: int | None) -> None:
        """Count a call to the API server.

        Args:
            verb: HTTP method.
            status: HTTP status; None without a response.
        """
        metrics.KUBERNETES_CALLS.labels(verb=verb.lower(), status=str(status or "none")).inc()
        calls = _calls.get()
        if calls is not None:
            calls.append(None)


def export_queue(depth: Callable[[], int], orders: Callable[[], Mapping[str, int]]) -> None:
    """Export the queue's depth and the number of Orders as of each scrape.

    Args:
        depth: of the queue.
        orders: number of Orders by step, with `NO_STEP` for those without a status.
    """
    metrics.QUEUE_DEPTH.set_function(depth)
    counted: Counter[str] = Counter()

    def first() -> float:
        # Once per scrape: Prometheus reads the label sets in the order of their creation, and this one is the first.
        counted.clear()
        counted.update(orders())
        return counted[NO_STEP]

    metrics.OPERATOR_ORDERS.labels(step=NO_STEP).set_function(first)
    for step in Step:
        metrics.OPERATOR_ORDERS.labels(step=step).set_function(partial(counted.__getitem__, step))


class BacklogKind(StrEnum):
    """What a sample counts."""

    ORDER = "order"
    OVERDUE_ORDER = "overdue_order"
    """An order past its deadline that has neither shipped nor ended."""
    HELD_ORDER = "held_order"
    PAYMENT = "payment"
    SAFE_DIFFERENCE = "safe_difference"
    """A difference from the payment provider's books that a reconciliation repairs."""
    UNSAFE_DIFFERENCE = "unsafe_difference"
    """One that a person has to repair."""
    RECONCILIATION = "reconciliation"
    """The last one that was completed."""
    STOCK_LEVEL = "stock_level"
    """A level of stock without a free piece; its age is not known."""
    EXPIRED_RESERVATION = "expired_reservation"
    """A reservation of stock that has expired, and whose row is still there."""
    WORKFLOW_TASK = "workflow"
    ACTIVITY_TASK = "activity"


@dataclass(frozen=True)
class BacklogSample:
    """Size and age of one backlog."""

    kind: BacklogKind
    key: str
    """Step or hold of the orders, status of the payments, kind of the differences, state of the levels, or name of the
    task queue."""
    count: int
    oldest: float
    """Age of the oldest in seconds; 0 if the backlog is empty."""


_STEPS = (Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPING)
_STATUSES = (PaymentStatus.INIT, PaymentStatus.CHARGED, PaymentStatus.REFUNDING)
_OPEN = (metrics.OPEN_ORDERS, metrics.OPEN_ORDER_OLDEST)
_OVERDUE = (metrics.OVERDUE_ORDERS, metrics.OVERDUE_ORDER_OLDEST)
_HELD = (metrics.HELD_ORDERS, metrics.HELD_ORDER_OLDEST)
_PAYMENTS = (metrics.OPEN_PAYMENTS, metrics.OPEN_PAYMENT_OLDEST)
_DIFFERENCES = (metrics.DIFFERENCES, metrics.DIFFERENCE_OLDEST)
_REPAIRS = {BacklogKind.SAFE_DIFFERENCE: "automatic", BacklogKind.UNSAFE_DIFFERENCE: "manual"}


def export_unfinished_orders(found: Sequence[BacklogSample] | None) -> None:
    """Export the unfinished orders and payments; one without a sample exports 0, and None exports nothing."""
    for gauge in (*_OPEN, *_OVERDUE, *_HELD, *_PAYMENTS, *_DIFFERENCES):
        gauge.clear()
    metrics.RECONCILED.set(math.nan if found is None else 0)
    _export_stock(found)
    if found is None:
        return
    samples = {(sample.kind, sample.key): sample for sample in found}
    for step in _STEPS:
        _set(*_OPEN, samples.get((BacklogKind.ORDER, step)), step=step)
        _set(*_OVERDUE, samples.get((BacklogKind.OVERDUE_ORDER, step)), step=step)
    for hold in HoldName:
        _set(*_HELD, samples.get((BacklogKind.HELD_ORDER, hold)), hold=hold)
    for status in _STATUSES:
        _set(*_PAYMENTS, samples.get((BacklogKind.PAYMENT, status)), status=status.lower())
    for kind in DifferenceKind:
        for safety, repair in _REPAIRS.items():
            _set(*_DIFFERENCES, samples.get((safety, kind)), kind=kind, repair=repair)
    for sample in found:
        if sample.kind is BacklogKind.RECONCILIATION:
            metrics.RECONCILED.set(time.time() - sample.oldest)


def _export_stock(found: Sequence[BacklogSample] | None) -> None:
    metrics.STOCK_LEVELS.clear()
    metrics.EXPIRED_RESERVATION_OLDEST.set(math.nan if found is None else 0)
    for state in metrics.STOCK_STATES if found is not None else ():
        metrics.STOCK_LEVELS.labels(state=state).set(0)
    for sample in found or ():
        if sample.kind is BacklogKind.STOCK_LEVEL:
            metrics.STOCK_LEVELS.labels(state=sample.key).set(sample.count)
        elif sample.kind is BacklogKind.EXPIRED_RESERVATION:
            metrics.EXPIRED_RESERVATION_OLDEST.set(sample.oldest)


def export_backlog(found: Sequence[BacklogSample] | None) -> None:
    """Export the tasks that wait in Temporal's task queues; None exports nothing."""
    metrics.BACKLOG.clear()
    metrics.BACKLOG_AGE.clear()
    for sample in found or ():
        _set(metrics.BACKLOG, metrics.BACKLOG_AGE, sample, task_queue=sample.key, kind=sample.kind)


def _set(count: Gauge, oldest: Gauge, sample: BacklogSample | None, **labels: str) -> None:
    count.labels(**labels).set(sample.count if sample else 0)
    oldest.labels(**labels).set(sample.oldest if sample else 0)
