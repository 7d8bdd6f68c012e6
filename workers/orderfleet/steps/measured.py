"""Activity side: tells an observer of each attempt, and of reviews that an attempt has recorded as ended.

An interceptor outside of all others of ours, so that injected faults and errors of the record are
measured as what they are to the workflow. It changes nothing. A killed worker tells of a begin only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.contracts.record import AuditEvent, EventKind, Progress
from orderfleet.contracts.steps import StepInput
from orderfleet.observers import StepObserver

_REVIEW_ENDS = {
    EventKind.APPROVED: "approved",
    EventKind.CANCEL_REQUESTED: "canceled",
    EventKind.REVIEW_TIMED_OUT: "timed_out",
}


class MeasureInterceptor(Interceptor):
    """Measures attempts."""

    def __init__(self, observer: StepObserver) -> None:
        self._observer = observer

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Measured(next, self._observer)


class _Measured(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, observer: StepObserver) -> None:
        super().__init__(following)
        self._observer = observer

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        bound = info.start_to_close_timeout or info.schedule_to_close_timeout
        began = time.monotonic()
        self._observer.began(info.activity_type, info.attempt, local=info.is_local)
        try:
            result = await super().execute_activity(input)
        except BaseException as error:
            self._end(info.activity_type, began, bound, error)
            raise
        late = self._end(info.activity_type, began, bound, None)
        if not late:
            # One that is late is made again; what it carries is told by the attempt that counts.
            self._tell_reviews(input)
        return result

    def _end(self, step: str, began: float, bound: timedelta | None, error: BaseException | None) -> bool:
        lasted = time.monotonic() - began
        late = bound is not None and lasted >= bound.total_seconds()
        self._observer.ended(step, lasted, error, late=late)
        return late

    def _tell_reviews(self, call: ExecuteActivityInput) -> None:
        for event in _events(call):
            outcome = _REVIEW_ENDS.get(event.kind)
            if outcome is not None and "waited_seconds" in event.detail:
                self._observer.reviewed(outcome, float(event.detail["waited_seconds"]))


def _events(call: ExecuteActivityInput) -> Iterator[AuditEvent]:
    """The audit events that an attempt records."""
    given = call.args[0] if call.args else None
    if not isinstance(given, StepInput):
        return
    for name in type(given).model_fields:
        value = getattr(given, name)
        if isinstance(value, Progress):
            yield from value.events
