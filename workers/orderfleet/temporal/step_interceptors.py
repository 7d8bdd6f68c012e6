"""Activity side: which attempt it is, what is left of it, so that a store that hangs is an outage, and what time it is.

Activities that ask the store after somebody slow call it. An attempt that ran into its own time-out
would be used up; one that gives the store up just before is not. It must never go by the wall clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import error_message, truncate
from orderfleet.domain.errors import (
    FINAL_ERRORS,
    STORE_UNAVAILABLE,
    StoreRejected,
    StoreUnavailable,
    Unavailable,
    WrongSetting,
)
from orderfleet.domain.events import AuditEvent, EventKind, Progress
from orderfleet.domain.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.domain.ports import AttemptLog
from orderfleet.domain.status import Step
from orderfleet.observability.observers import NoopObserver, StepObserver
from orderfleet.temporal.faults import FaultInterceptor, parse_faults

_MARGIN: Final = ANSWER_MARGIN.total_seconds()

_LEAST: Final = LEAST_FOR_THE_STORE.total_seconds()

"""With fewer seconds left it is the provider that used the attempt up, and it counts."""


def attempt_of(step: StepInput) -> int:
    """Which attempt of the step this is, from 1, with those before an outage."""
    return step.earlier_attempts + activity.info().attempt


class AttemptClock:
    """Runs from the moment it is made, at the beginning of an activity."""

    def __init__(self) -> None:
        info, self._began = activity.info(), time.monotonic()
        self._started = info.started_time
        bound = info.start_to_close_timeout
        self._end = None if bound is None else self._began + bound.total_seconds() - _MARGIN

    def now(self) -> datetime:
        """The time by Temporal's clock, as workflows have it: this machine's own may be off, or jump."""
        return self._started + timedelta(seconds=time.monotonic() - self._began)

    @asynccontextmanager
    async def asking_the_store(self) -> AsyncIterator[None]:
        """Bound the body by what is left of the attempt.

        Raises:
            StoreUnavailable: the body was not done in time.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is None or left < _LEAST:
            yield
            return
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(f"Postgres did not answer within the {left:.1f} s left of the attempt") from error


MAX_RETRY_AFTER: Final = timedelta(minutes=5)

"""However long somebody asked to be left alone: three attempts fit well into a step's hour."""


def requested_delay(error: Exception, info: activity.Info) -> timedelta | None:
    """How long the next attempt waits because somebody asked for it; None leaves it to the policy."""
    if not isinstance(error, Unavailable) or error.retry_after is None:
        return None
    asked = min(error.retry_after, MAX_RETRY_AFTER)
    return asked if asked > _gap(info) else None


def _gap(info: activity.Info) -> timedelta:
    """The gap of the policy after this attempt."""
    policy = info.retry_policy
    if policy is None:
        return timedelta(0)
    longest = (policy.maximum_interval or policy.initial_interval * 100).total_seconds()
    # A refund may be tried hundreds of times, and the power must stay a number.
    grown = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(info.attempt - 1, 60)
    return timedelta(seconds=min(grown, longest))


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
        self._observer.started(info.activity_type, info.attempt, local=info.is_local)
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
        self._observer.ended(step, lasted, error, timed_out=late)
        return late

    def _tell_reviews(self, call: ExecuteActivityInput) -> None:
        for event in _events(call):
            outcome = _REVIEW_ENDS.get(event.kind)
            if outcome is not None and "waited_seconds" in event.detail:
                self._observer.review_ended(outcome, float(event.detail["waited_seconds"]))


def _events(call: ExecuteActivityInput) -> Iterator[AuditEvent]:
    """The audit events that an attempt records."""
    given = call.args[0] if call.args else None
    if not isinstance(given, StepInput):
        return
    for name in type(given).model_fields:
        value = getattr(given, name)
        if isinstance(value, Progress):
            yield from value.events


_STEP_OF = {
    "receive": Step.RECEIVE,
    "validate": Step.VALIDATE,
    "charge": Step.CHARGE,
    "void_payment": Step.CHARGE,
    "prepare_package": Step.SHIPPING,
    "dispatch_carrier": Step.SHIPPING,
    "void_booking": Step.SHIPPING,
}

"""The order's step an activity works for; what records or refunds belongs to no single one."""


_NO_WORD: Final = "no answer: it hung, or its worker was killed"

_OWED: Final = frozenset({"refund", "void_payment", "void_booking"})

"""Done until they succeed, so a refusal is a failed attempt like any other. Elsewhere a definite refusal
is told by the workflow, which knows what becomes of the order."""


class AttemptInterceptor(Interceptor):
    """Tells the record of failed attempts, and marks an outage of the store as one."""

    def __init__(self, log: AttemptLog) -> None:
        self._log = log

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Attempt(next, self._log)


class _Attempt(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, log: AttemptLog) -> None:
        super().__init__(following)
        self._log = log

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        attempt = activity.info().attempt
        if attempt == 1:
            return await self._execute(input)
        # Beside the step, which must not lose the time it has while the record is slow. One that could
        # tell of itself keeps its own words.
        before = asyncio.create_task(self._tell(input, attempt - 1, _NO_WORD))
        try:
            return await self._execute(input)
        finally:
            await before

    async def _execute(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        try:
            return await super().execute_activity(input)
        except StoreUnavailable as error:
            # The workflow waits this out; it needs to know how many attempts were used before.
            raise ApplicationError(
                str(error), activity.info().attempt, type=STORE_UNAVAILABLE, non_retryable=True
            ) from error
        except Exception as error:
            final, attempt = _final(error), activity.info().attempt
            if final is None or activity.info().activity_type in _OWED:
                await self._tell(input, attempt, truncate(error_message(error)))
            if final is None:
                delay = requested_delay(error, activity.info())
                if delay is not None:
                    raise ApplicationError(str(error), type=type(error).__name__, next_retry_delay=delay) from error
            elif final != type(error).__name__ or attempt > 1:
                raise ApplicationError(str(error), attempt, type=final, non_retryable=True) from error
            raise

    async def _tell(self, call: ExecuteActivityInput, attempt: int, text: str) -> None:
        info, step = activity.info(), call.args[0] if call.args else None
        if not isinstance(step, StepInput):
            return
        count = step.earlier_attempts + attempt
        event = AuditEvent(
            key=f"{info.workflow_run_id or ''}/{info.activity_id}/{attempt}",
            kind=EventKind.ATTEMPT_FAILED,
            step=_STEP_OF.get(info.activity_type, Step.SHIPPING),
            at=info.started_time,
            detail={"activity": info.activity_type, "attempt": count, "error": text},
        )
        with contextlib.suppress(StoreUnavailable, StoreRejected):
            await self._log.attempt_failed(step.order_id, info.activity_type, count, text, event)


def _final(error: Exception) -> str | None:
    """The final error that it is or derives from, as Temporal's failures name it."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in FINAL_ERRORS), None)


class InvalidFaults(WrongSetting):
    """The faults to inject can't be read; the message shows the notation."""


def around_steps(log: AttemptLog, faults: str, observer: StepObserver | None = None) -> list[Interceptor]:
    """The interceptors: attempts are measured, failed ones told, and injected faults are attempts like any other.

    Raises:
        InvalidFaults: `faults` can't be read.
    """
    interceptors: list[Interceptor] = [MeasureInterceptor(observer or NoopObserver()), AttemptInterceptor(log)]
    try:
        plan = parse_faults(faults)
    except ValueError as error:
        raise InvalidFaults(f"ORDERFLEET_FAULTS: {error}") from None
    if plan.by_step:
        interceptors.append(FaultInterceptor(plan))
    return interceptors
