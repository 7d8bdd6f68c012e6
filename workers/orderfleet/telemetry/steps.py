"""Counts the steps of orders. Implements `StepObserver`; the workers' interceptor calls it."""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.exceptions import ApplicationError

from orderfleet.contracts import errors
from orderfleet.telemetry.catalog import (
    REVIEW_WAIT,
    STEP_ATTEMPTS,
    STEP_DURATION,
    STEP_FAILURES,
    STEP_RETRIES,
    STEP_TIMEOUTS,
)
from orderfleet.telemetry.current import exemplar

OTHER: Final = "other"


class StepMetrics:
    """Attempts, retries, failures, time-outs and durations by step; review waits."""

    def began(self, activity: str, attempt: int, *, local: bool) -> None:
        """Count an attempt."""
        STEP_ATTEMPTS.labels(step=activity, kind="local" if local else "regular").inc(exemplar=exemplar())
        if attempt > 1:
            STEP_RETRIES.labels(step=activity).inc(exemplar=exemplar())

    def ended(self, activity: str, seconds: float, error: BaseException | None, *, late: bool) -> None:
        """Count how an attempt ended."""
        if late:
            STEP_TIMEOUTS.labels(step=activity).inc(exemplar=exemplar())
        if isinstance(error, Exception):
            STEP_FAILURES.labels(step=activity, error=kind_of(error)).inc(exemplar=exemplar())
        outcome = "timed_out" if late else _outcome(error)
        STEP_DURATION.labels(step=activity, outcome=outcome).observe(seconds, exemplar=exemplar())

    def reviewed(self, outcome: str, waited: float) -> None:
        """Count a review."""
        REVIEW_WAIT.labels(outcome=outcome).observe(waited, exemplar=exemplar())


def kind_of(error: BaseException) -> str:
    """The class of one of the product's own errors: a bounded number of names."""
    # What Temporal has to be told more of goes under another class, with the error itself as its cause.
    own = error.__cause__ if isinstance(error, ApplicationError) else error
    return type(own).__name__ if isinstance(own, errors.OrderfleetError) else OTHER


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return "canceled" if isinstance(error, asyncio.CancelledError) else "failed"
