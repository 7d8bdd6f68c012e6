"""Shows surveys of what waits: unfinished orders, money under way, backlogs. The operator's survey loop calls it."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Gauge

from orderfleet.contracts.status import PaymentStatus, Step
from orderfleet.contracts.survey import Waiting, WaitKind
from orderfleet.telemetry.catalog import (
    BACKLOG,
    BACKLOG_AGE,
    OPEN_ORDER_OLDEST,
    OPEN_ORDERS,
    OPEN_PAYMENT_OLDEST,
    OPEN_PAYMENTS,
    OVERDUE_ORDER_OLDEST,
    OVERDUE_ORDERS,
)

_STEPS = (Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPING)
_STATUSES = (PaymentStatus.INIT, PaymentStatus.CHARGED, PaymentStatus.REFUNDING)

_SHOWN = (
    *(OPEN_ORDERS, OPEN_ORDER_OLDEST, OVERDUE_ORDERS, OVERDUE_ORDER_OLDEST),
    *(OPEN_PAYMENTS, OPEN_PAYMENT_OLDEST),
)


class RecordSurveyMetrics:
    """What the record says is unfinished."""

    def show(self, found: Sequence[Waiting] | None) -> None:
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

    def show(self, found: Sequence[Waiting] | None) -> None:
        """Show it."""
        BACKLOG.clear()
        BACKLOG_AGE.clear()
        for one in found or ():
            _set(BACKLOG, BACKLOG_AGE, one, task_queue=one.place, kind=one.kind)


def _set(count: Gauge, oldest: Gauge, found: Waiting | None, **labels: str) -> None:
    count.labels(**labels).set(found.count if found else 0)
    oldest.labels(**labels).set(found.oldest if found else 0)
