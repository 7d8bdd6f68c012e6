"""Workflow side of a step: runs it with its policy, and retries it without limit during an outage of the store.

The attempts of a policy count failures of the order and of providers. `StoreUnavailable` ends the activity at once, and
the step is scheduled again after a durable timer with its remaining attempts. A worker without the key to decrypt a
payload is handled in the same way. It also reads the input of every workflow but the order workflow, which accepts
several forms. It must do no I/O.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import StepInput
    from orderfleet.domain.base import truncate
    from orderfleet.domain.errors import FINAL_ERRORS, INVALID_INPUT, PAYLOAD_DECRYPTION_ERROR, STORE_UNAVAILABLE
    from orderfleet.domain.inputs import InputRejected, Model, read_one
    from orderfleet.domain.policy import LOCAL_ATTEMPT_TIMEOUT, OrderPolicy, OutagePolicy, StepPolicy

Input = TypeVar("Input", bound=StepInput)
Result = TypeVar("Result")


UNREADABLE_RESULT: Final = "UnreadableResult"
"""Error type of a step whose result has another type."""

_NOT_RETRIED = (*FINAL_ERRORS, STORE_UNAVAILABLE)


class ActivityRef(Generic[Input, Result]):
    """An activity: a method if the workflow's own worker runs it, a name if another worker does.

    Args:
        call: the activity method, or its name.
        result: type of its result.
        task_queue: task queue of the other worker; None is that of the workflow.
    """

    def __init__(
        self, call: Callable[[Any, Input], Awaitable[Result]] | str, result: type[Result], task_queue: str | None = None
    ) -> None:
        self.call: Any = call
        self.result = result
        self.task_queue = task_queue


class StepFailed(Exception):
    """A step failed permanently, or has used up its attempts; the message is the reason in one line.

    Args:
        failure: Temporal's failure, which for a regular activity wraps the cause.
    """

    attempts = 1
    """Number of attempts, with those before an outage."""

    def __init__(self, failure: FailureError) -> None:
        self.cause = cause = _cause(failure)
        self.type = (cause.type or "") if isinstance(cause, ApplicationError) else type(cause).__name__
        """Class name of the error that the activity raised; `TimeoutError` for a time-out."""
        super().__init__(truncate(_message(failure, cause)))

    @property
    def final(self) -> bool:
        """Whether no further attempt can succeed."""
        return self.type in FINAL_ERRORS

    @property
    def outage(self) -> bool:
        """Whether the store was unavailable, or the worker had no key to decrypt its input."""
        return self.type in {STORE_UNAVAILABLE, PAYLOAD_DECRYPTION_ERROR}


class LastError:
    """A workflow that keeps the last error of its steps and answers the query `last_error` with it."""

    def __init__(self) -> None:
        self._last_error: str | None = None

    @workflow.query
    def last_error(self, *_args: Any) -> str | None:
        """The last error of a step; None without one."""
        return self._last_error

    def _on_error(self, text: str) -> None:
        self._last_error = text


class StepRunner:
    """Runs the steps of one workflow.

    Args:
        policy: waits between the tries while the store is unavailable, and between rounds of attempts.
        on_error: called with the error before each wait, for readers of the workflow.
    """

    def __init__(self, policy: OrderPolicy, on_error: Callable[[str], None]) -> None:
        self.policy = policy
        self._on_error = on_error

    async def run(
        self,
        activity: ActivityRef[Input, Result],
        arg: Input,
        policy: StepPolicy,
        heartbeat_timeout: timedelta | None = None,
    ) -> Result:
        """Run a regular activity until it succeeds, fails permanently, or has used up its attempts.

        Args:
            activity: the activity.
            arg: its input.
            policy: its time-outs and attempts.
            heartbeat_timeout: longest time between two heartbeats; None requires none.

        Raises:
            StepFailed: it did not succeed.
        """
        used = 0
        for wait in backoff(self.policy.outage):
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
            await workflow.sleep(wait)
        raise AssertionError("a backoff has no end")

    async def run_locally(self, activity: ActivityRef[Input, Result], arg: Input, policy: StepPolicy) -> Result:
        """Run the step as a local activity of at most 1 s; if that fails, run the regular activity with its attempts.

        The local attempt counts neither toward the policy's attempts nor as a retry in the order's status. A blocked
        local activity delays signals and updates, and Temporal does not show it, so the step may use only the order
        store.

        Args:
            activity: the activity.
            arg: its input.
            policy: time-outs and attempts of the regular activity.

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

    async def retry_forever(self, activity: ActivityRef[Input, Result], arg: Input, policy: StepPolicy) -> Result:
        """Run a step until it succeeds, with rounds of attempts without limit.

        Args:
            activity: the activity.
            arg: its input.
            policy: time-outs and attempts of one round.
        """
        for wait in backoff(self.policy.retry_forever_backoff):
            try:
                return await self.run(activity, arg, policy)
            except StepFailed as failed:
                self._on_error(str(failed))
            await workflow.sleep(wait)
        raise AssertionError("a backoff has no end")


def backoff(policy: OutagePolicy) -> Iterator[timedelta]:
    """The waits of a policy: from the first, doubling up to the longest, without end."""
    wait = policy.first
    while True:
        yield wait
        wait = min(wait * 2, policy.longest)


def _checked(activity: ActivityRef[Any, Result], result: Any) -> Result:
    """The result of an activity, checked against its type: any client can complete an activity with any result.

    Raises:
        StepFailed: the result has another type; what the step did is unknown.
    """
    if isinstance(result, activity.result):
        return result
    name = activity.call if isinstance(activity.call, str) else activity.call.__name__
    raise StepFailed(ApplicationError(f"{name} was completed with a result that can't be read", type=UNREADABLE_RESULT))


def _retry(policy: StepPolicy, attempts: int) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=policy.initial_interval,
        backoff_coefficient=policy.backoff,
        maximum_interval=max(policy.maximum_interval, policy.initial_interval),
        maximum_attempts=attempts,
        non_retryable_error_types=_NOT_RETRIED,
    )


def _failed(error: FailureError) -> StepFailed:
    """The failure of a step; raises a cancellation of the workflow again."""
    if is_cancelled_exception(error):
        raise error
    return StepFailed(error)


def _cause(failure: FailureError) -> BaseException:
    cause = failure.cause if isinstance(failure, ActivityError) and failure.cause is not None else failure
    # The SDK wraps an error of the codec in a failure without a type.
    below = cause.__cause__ if isinstance(cause, ApplicationError) and not cause.type else None
    return below if isinstance(below, ApplicationError) and below.type == PAYLOAD_DECRYPTION_ERROR else cause


def _message(failure: FailureError, cause: BaseException) -> str:
    if isinstance(cause, ApplicationError):
        return cause.message
    if isinstance(cause, ActivityTimeout):
        step = failure.activity_type if isinstance(failure, ActivityError) else "the step"
        kind = cause.type.name.replace("_", "-").lower() if cause.type else "unknown"
        return f"{step} timed out ({kind})"
    return str(cause)


def _attempt(failed: StepFailed, max_attempts: int) -> int:
    """The attempt that ended the activity, as its details report it; 1 if they don't."""
    details = failed.cause.details if isinstance(failed.cause, ApplicationError) else ()
    reported = details[0] if details and isinstance(details[0], int) else 1
    # Any client can fail an activity, with any details.
    return reported if 1 <= reported <= max_attempts else 1


def read_start(model: type[Model], args: Sequence[Any], workflow_id: Callable[[Model], str] | None = None) -> Model:
    """Return the one argument of a workflow as a model.

    Args:
        model: of the argument.
        args: of the workflow, from `*args: Any`.
        workflow_id: returns the workflow id that the argument requires; None accepts any. An id with a suffix after
            `/` is accepted too: Orderfleet appends one when a workflow of another client has the plain id.

    Raises:
        ApplicationError: the argument is invalid, or requires another workflow id. Raised in `run`, it fails the
            workflow.
    """
    try:
        start = read_one(model, args)
    except InputRejected as rejected:
        raise rejected_start(str(rejected)) from None
    info = workflow.info()
    expected = workflow_id(start) if workflow_id is not None else info.workflow_id
    if info.workflow_id != expected and not info.workflow_id.startswith(f"{expected}/"):
        raise rejected_start(f"workflow id: is {info.workflow_id!r}; start it as {expected!r}")
    return start


def rejected_start(reason: str) -> ApplicationError:
    """Return the failure of a workflow with an invalid input."""
    return ApplicationError(truncate(reason), type=INVALID_INPUT, non_retryable=True)
