"""Activity side of a step: the time left of an attempt, and the interceptor that measures and records attempts.

Durations must never come from the wall clock, which can be off or jump.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.domain import errors
from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import error_message, truncate
from orderfleet.domain.events import AuditEvent, EventKind, Progress
from orderfleet.domain.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.domain.ports import AttemptLog
from orderfleet.domain.status import Step
from orderfleet.observability import order_metrics
from orderfleet.observability.metrics import REVIEW_WAIT
from orderfleet.observability.tracing import exemplar
from orderfleet.temporal.faults import FaultPlan, parse_faults

_MIN_STORE_SECONDS: Final = LEAST_FOR_THE_STORE.total_seconds()
"""With less time left, the provider has used the attempt up, and the attempt counts."""

MAX_RETRY_AFTER: Final = timedelta(minutes=5)
"""Maximum delay that a provider can ask for: three attempts fit into a step's hour."""

_REVIEW_ENDS: Final = {
    EventKind.APPROVED: "approved",
    EventKind.CANCEL_REQUESTED: "canceled",
    EventKind.REVIEW_TIMED_OUT: "timed_out",
}

_STEP_OF: Final = {
    "receive": Step.RECEIVE,
    "validate": Step.VALIDATE,
    "charge": Step.CHARGE,
    "void_payment": Step.CHARGE,
    "prepare_package": Step.SHIPPING,
    "dispatch_carrier": Step.SHIPPING,
    "void_booking": Step.SHIPPING,
}
"""The order's step that an activity belongs to. Activities that record or refund belong to no single step."""

_NO_ANSWER: Final = "no answer: it hung, or its worker was killed"

_RETRIED_FOREVER: Final = frozenset({"refund", "void_payment", "void_booking"})
"""A rejection of these is a failed attempt like any other. The workflow records that of every other activity."""


def attempt_of(step: StepInput) -> int:
    """Return the number of this attempt of the step, from 1, including those before a store outage."""
    return step.earlier_attempts + activity.info().attempt


class AttemptClock:
    """The time within an attempt. Create it at the start of the activity."""

    def __init__(self) -> None:
        info, self._started = activity.info(), time.monotonic()
        self._started_at = info.started_time
        timeout = info.start_to_close_timeout
        self._end = None if timeout is None else self._started + (timeout - ANSWER_MARGIN).total_seconds()

    def now(self) -> datetime:
        """Return the time of Temporal's clock, which workflows use: this machine's clock can be off, or jump."""
        return self._started_at + timedelta(seconds=time.monotonic() - self._started)

    @asynccontextmanager
    async def store_deadline(self) -> AsyncIterator[None]:
        """Limit the body to the time that is left of the attempt.

        An attempt that reaches its own timeout counts as used. One that ends just before with `StoreUnavailable` is a
        store outage, and does not count.

        Raises:
            StoreUnavailable: the body did not end in time.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is None or left < _MIN_STORE_SECONDS:
            yield
            return
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            raise errors.StoreUnavailable(
                f"Postgres did not answer within the {left:.1f} s left of the attempt"
            ) from error


class InvalidFaults(errors.WrongSetting):
    """The faults to inject can't be parsed; the message shows the notation."""


class StepInterceptor(Interceptor):
    """Measures attempts of activities, records failed ones, and injects faults if the settings ask for them.

    An outage of the store becomes a final error with the number of the attempt: the workflow waits until it is over.

    Args:
        log: where failed attempts are recorded.
        faults: to inject, in the notation of `faults.parse_faults`; an injected fault is an attempt like any other.

    Raises:
        InvalidFaults: `faults` can't be parsed.
    """

    def __init__(self, log: AttemptLog, faults: str = "") -> None:
        self._log = log
        try:
            self._faults = parse_faults(faults)
        except ValueError as error:
            raise InvalidFaults(f"ORDERFLEET_FAULTS: {error}") from None

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Attempt(next, self._log, self._faults)


class _Attempt(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, log: AttemptLog, faults: FaultPlan) -> None:
        super().__init__(following)
        self._log = log
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        bound = info.start_to_close_timeout or info.schedule_to_close_timeout
        began = time.monotonic()
        order_metrics.attempt_started(info.activity_type, info.attempt, local=info.is_local)
        try:
            result = await self._record_lost_attempt(input)
        except BaseException as error:
            self._end(info.activity_type, began, bound, error)
            raise
        late = self._end(info.activity_type, began, bound, None)
        if not late:
            # Temporal repeats a late attempt, and the one that counts reports the review.
            self._report_reviews(input)
        return result

    def _end(self, step: str, began: float, bound: timedelta | None, error: BaseException | None) -> bool:
        """Report the end of the attempt to the metrics; return whether it is late."""
        lasted = time.monotonic() - began
        late = bound is not None and lasted >= bound.total_seconds()
        order_metrics.attempt_ended(step, lasted, error, timed_out=late)
        return late

    def _report_reviews(self, call: ExecuteActivityInput) -> None:
        for event in _events(call):
            outcome = _REVIEW_ENDS.get(event.kind)
            if outcome is not None and "waited_seconds" in event.detail:
                REVIEW_WAIT.labels(outcome=outcome).observe(float(event.detail["waited_seconds"]), exemplar=exemplar())

    async def _record_lost_attempt(self, call: ExecuteActivityInput) -> Any:
        """Run the attempt; record that the one before it failed, which a lost attempt could not do itself."""
        attempt = activity.info().attempt
        if attempt == 1:
            return await self._run(call)
        # Concurrently: a slow store must not take the step's time. An attempt that was recorded keeps its error.
        recording = asyncio.create_task(self._record_failure(call, attempt - 1, _NO_ANSWER))
        try:
            return await self._run(call)
        finally:
            await recording

    async def _run(self, call: ExecuteActivityInput) -> Any:
        """Run the attempt; convert its error to what Temporal's retry policy and the workflow act on."""
        try:
            await self._faults.inject(activity.info())
            return await super().execute_activity(call)
        except errors.StoreUnavailable as error:
            # The workflow waits until the store is available, and needs the number of the attempts used before.
            raise ApplicationError(
                str(error), activity.info().attempt, type=errors.STORE_UNAVAILABLE, non_retryable=True
            ) from error
        except Exception as error:
            final, attempt = _final(error), activity.info().attempt
            if final is None or activity.info().activity_type in _RETRIED_FOREVER:
                await self._record_failure(call, attempt, truncate(error_message(error)))
            if final is None:
                delay = requested_delay(error, activity.info())
                if delay is not None:
                    raise ApplicationError(str(error), type=type(error).__name__, next_retry_delay=delay) from error
            elif final != type(error).__name__ or attempt > 1:
                raise ApplicationError(str(error), attempt, type=final, non_retryable=True) from error
            raise

    async def _record_failure(self, call: ExecuteActivityInput, attempt: int, text: str) -> None:
        info, step = activity.info(), call.args[0] if call.args else None
        # A local attempt is none of the policy's attempts, which the regular activity counts from 1.
        if info.is_local or not isinstance(step, StepInput):
            return
        count = step.earlier_attempts + attempt
        event = AuditEvent(
            key=f"{info.workflow_run_id or ''}/{info.activity_id}/{attempt}",
            kind=EventKind.ATTEMPT_FAILED,
            step=_STEP_OF.get(info.activity_type, Step.SHIPPING),
            at=info.started_time,
            detail={"activity": info.activity_type, "attempt": count, "error": text},
        )
        with suppress(errors.StoreUnavailable, errors.StoreRejected):
            await self._log.attempt_failed(step.order_id, info.activity_type, count, text, event)


def _events(call: ExecuteActivityInput) -> Iterator[AuditEvent]:
    """The audit events that an attempt records."""
    step = call.args[0] if call.args else None
    if not isinstance(step, StepInput):
        return
    for name in type(step).model_fields:
        value = getattr(step, name)
        if isinstance(value, Progress):
            yield from value.events


def _final(error: Exception) -> str | None:
    """The final error that it is or derives from, as Temporal's failures name it."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in errors.FINAL_ERRORS), None)


def requested_delay(error: Exception, info: activity.Info) -> timedelta | None:
    """Return the delay that a provider asks for before the next attempt.

    Args:
        error: of this attempt.
        info: of this attempt.

    Returns:
        The delay; None if none is asked for, or if the retry policy waits as long anyway.
    """
    if not isinstance(error, errors.Unavailable) or error.retry_after is None:
        return None
    delay = min(error.retry_after, MAX_RETRY_AFTER)
    return delay if delay > _policy_delay(info) else None


def _policy_delay(info: activity.Info) -> timedelta:
    """The delay of the retry policy after this attempt."""
    policy = info.retry_policy
    if policy is None:
        return timedelta(0)
    maximum = (policy.maximum_interval or policy.initial_interval * 100).total_seconds()
    # A refund may be retried hundreds of times, and the power must not overflow.
    delay = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(info.attempt - 1, 60)
    return timedelta(seconds=min(delay, maximum))
