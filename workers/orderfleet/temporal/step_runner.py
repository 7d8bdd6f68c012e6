"""Workflow side: run one step with its policy, and wait out a store that is away.

Called by the order and shipping workflows only. The attempts in a policy count business and
provider failures; `StoreUnavailable` ends the activity at once and is waited out here, on durable
timers, with the attempts that are left. So is a worker that can't decrypt, once the attempts are over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import StepInput
    from orderfleet.domain.base import truncate
    from orderfleet.domain.errors import FINAL_ERRORS, PAYLOAD_DECRYPTION_ERROR, STORE_UNAVAILABLE
    from orderfleet.domain.policy import LOCAL_ATTEMPT_TIMEOUT, OutagePolicy, StepPolicy

Input = TypeVar("Input", bound=StepInput)
Result = TypeVar("Result")


class ActivityRef(Generic[Input, Result]):
    """An activity as a workflow names it: a method of the worker's own, or one of the other worker's by name.

    Args:
        call: the activity method, or its name.
        result: what it answers.
        task_queue: the other worker's queue; None is the workflow's own.
    """

    def __init__(
        self, call: Callable[[Any, Input], Awaitable[Result]] | str, result: type[Result], task_queue: str | None = None
    ) -> None:
        self.call: Any = call
        self.result = result
        self.task_queue = task_queue


_NOT_RETRIED = (*FINAL_ERRORS, STORE_UNAVAILABLE)


class StepFailed(Exception):
    """A step failed for good, or has used up its attempts; the message says why, in one line for people.

    Args:
        failure: as Temporal told it. A regular activity's is wrapped, a local one's is not.
    """

    attempts = 1
    """How many attempts were made, with those before an outage."""

    def __init__(self, failure: FailureError) -> None:
        self.cause = cause = _cause(failure)
        self.type = (cause.type or "") if isinstance(cause, ApplicationError) else type(cause).__name__
        """Class name of what the activity raised; `TimeoutError` for a time-out."""
        super().__init__(truncate(_told(failure, cause)))

    @property
    def final(self) -> bool:
        """Whether no further attempt could mend it."""
        return self.type in FINAL_ERRORS

    @property
    def outage(self) -> bool:
        """Whether the store was away, or the worker had no key to read what it was given."""
        return self.type in {STORE_UNAVAILABLE, PAYLOAD_DECRYPTION_ERROR}


class StepRunner:
    """Runs the steps of one workflow.

    Args:
        outage: gaps between tries while the store is away.
        on_error: told each time something is waited out, so that a reader sees why.
    """

    def __init__(self, outage: OutagePolicy, on_error: Callable[[str], None]) -> None:
        self._outage = outage
        self._on_error = on_error

    async def run(
        self,
        activity: ActivityRef[Input, Result],
        arg: Input,
        policy: StepPolicy,
        heartbeat_timeout: timedelta | None = None,
    ) -> Result:
        """Run a regular activity until it succeeds, fails for good, or has used up its attempts.

        Raises:
            StepFailed: it did not succeed.
        """
        used = 0
        for gap in backoff(self._outage):
            try:
                result = await workflow.execute_activity(
                    activity.call,
                    arg.model_copy(update={"earlier_attempts": used}) if used else arg,
                    result_type=activity.result,
                    task_queue=activity.task_queue,
                    start_to_close_timeout=policy.attempt_timeout,
                    schedule_to_close_timeout=policy.total_timeout,
                    heartbeat_timeout=heartbeat_timeout,
                    retry_policy=_retry(policy, policy.attempts - used),
                )
                return _checked(activity, result)
            except ActivityError as error:
                failed = _failed(error)
                if not failed.outage:
                    failed.attempts = used + _attempt(failed, policy.attempts) if failed.final else policy.attempts
                    raise failed from error
                used = min(used + _attempt(failed, policy.attempts) - 1, policy.attempts - 1)
                self._on_error(str(failed))
            await workflow.sleep(gap)
        raise AssertionError("gaps never end")

    async def run_locally(self, activity: ActivityRef[Input, Result], arg: Input, policy: StepPolicy) -> Result:
        """Try once as a local activity of at most 1 s, then as a regular one.

        Only for steps that touch nothing but the record: a hung local activity holds up signals
        and updates and shows nowhere.

        Raises:
            StepFailed: it did not succeed.
        """
        try:
            result = await workflow.execute_local_activity(
                activity.call,
                arg,
                result_type=activity.result,
                schedule_to_close_timeout=LOCAL_ATTEMPT_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
            return _checked(activity, result)
        except FailureError as error:
            failed = _failed(error)
            if failed.final:
                raise failed from error
        return await self.run(activity, arg, policy)

    async def retry_forever(
        self, activity: ActivityRef[Input, Result], arg: Input, policy: StepPolicy, owed: OutagePolicy
    ) -> Result:
        """Run a step that is owed: round after round, without limit, until it succeeds."""
        for gap in backoff(owed):
            try:
                return await self.run(activity, arg, policy)
            except StepFailed as failed:
                self._on_error(str(failed))
            await workflow.sleep(gap)
        raise AssertionError("gaps never end")


def backoff(policy: OutagePolicy) -> Iterator[timedelta]:
    """The gaps of a policy, doubling up to the longest, without end."""
    gap = policy.first
    while True:
        yield gap
        gap = min(gap * 2, policy.longest)


def _checked(activity: ActivityRef[Any, Result], result: Any) -> Result:
    """The result, if it is one.

    Raises:
        StepFailed: any client can complete an activity by its id, with whatever it likes. What the step did is unknown.
    """
    if isinstance(result, activity.result):
        return result
    name = activity.call if isinstance(activity.call, str) else activity.call.__name__
    raise StepFailed(ApplicationError(f"{name} was completed with a result that can't be read", type=UNREADABLE_RESULT))


UNREADABLE_RESULT: Final = "UnreadableResult"
"""Type of a step's failure whose result is no result of it."""


def _retry(policy: StepPolicy, attempts: int) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=policy.initial_interval,
        backoff_coefficient=policy.backoff,
        maximum_interval=max(policy.maximum_interval, policy.initial_interval),
        maximum_attempts=attempts,
        non_retryable_error_types=_NOT_RETRIED,
    )


def _failed(error: FailureError) -> StepFailed:
    """The failure of a step; a cancellation of the workflow is none, and goes on as it is."""
    if is_cancelled_exception(error):
        raise error
    return StepFailed(error)


def _cause(failure: FailureError) -> BaseException:
    cause = failure.cause if isinstance(failure, ActivityError) and failure.cause is not None else failure
    # The SDK wraps what the codec raised in a failure to decode that has no type.
    below = cause.__cause__ if isinstance(cause, ApplicationError) and not cause.type else None
    return below if isinstance(below, ApplicationError) and below.type == PAYLOAD_DECRYPTION_ERROR else cause


def _told(failure: FailureError, cause: BaseException) -> str:
    if isinstance(cause, ApplicationError):
        return cause.message
    if isinstance(cause, ActivityTimeout):
        step = failure.activity_type if isinstance(failure, ActivityError) else "the step"
        kind = cause.type.name.replace("_", "-").lower() if cause.type else "unknown"
        return f"{step} timed out ({kind})"
    return str(cause)


def _attempt(failed: StepFailed, most: int) -> int:
    """Which attempt it was that ended the activity, by Temporal's count; the first unless it said so."""
    details = failed.cause.details if isinstance(failed.cause, ApplicationError) else ()
    said = details[0] if details and isinstance(details[0], int) else 1
    # Any client can fail an activity by its id, with whatever details it likes.
    return said if 1 <= said <= most else 1
