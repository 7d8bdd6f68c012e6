"""The failure that a failed attempt reports to Temporal: whether and when it is retried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from orderfleet.domain.errors import CarrierUnavailable, PaymentRefused, ProviderUnavailable
from orderfleet.temporal.step_interceptors import MAX_RETRY_AFTER, StepInterceptor


class Declined(PaymentRefused):
    """A subclass, as an adapter in a package may raise."""


class Failing(ActivityInboundInterceptor):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        raise self._error


async def reported(error: Exception, attempt: int = 1) -> BaseException:
    """Return the failure that an attempt that raises `error` reports."""
    environment = ActivityEnvironment()
    environment.info = type(environment.info)(
        **{
            **vars(environment.info),
            "attempt": attempt,
            "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
        }
    )
    interceptor = StepInterceptor(log=None).intercept_activity(Failing(error))  # type: ignore[arg-type]

    async def run() -> Any:
        assert activity.in_activity()
        return await interceptor.execute_activity(ExecuteActivityInput(fn=run, args=(), executor=None, headers={}))

    with pytest.raises(Exception, match=str(error)) as raised:
        await environment.run(run)
    return raised.value


@pytest.mark.parametrize("kind", [ProviderUnavailable, CarrierUnavailable])
async def test_retry_after_delays_the_next_attempt(kind: type[ProviderUnavailable]) -> None:
    failure = await reported(kind("busy", timedelta(seconds=40)))
    assert isinstance(failure, ApplicationError)
    assert failure.type == kind.__name__
    assert not failure.non_retryable
    assert failure.next_retry_delay == timedelta(seconds=40)


async def test_retry_after_is_bounded() -> None:
    failure = await reported(ProviderUnavailable("closed", timedelta(days=2)))
    assert isinstance(failure, ApplicationError)
    assert failure.next_retry_delay == MAX_RETRY_AFTER == timedelta(minutes=5)


@pytest.mark.parametrize(("after", "attempt"), [(0, 1), (1, 1), (3, 3), (30, 500)])
async def test_retry_after_shorter_than_the_policys_delay_is_ignored(after: int, attempt: int) -> None:
    error = ProviderUnavailable("busy", timedelta(seconds=after))
    assert await reported(error, attempt) is error


async def test_without_retry_after_the_policy_decides() -> None:
    error = ProviderUnavailable("busy")
    assert await reported(error) is error


async def test_refusal_of_an_adapters_own_subclass_is_final() -> None:
    failure = await reported(Declined("no funds"))
    assert isinstance(failure, ApplicationError)
    assert (failure.type, failure.non_retryable, failure.message) == ("PaymentRefused", True, "no funds")
