"""An activity with an invalid input fails without a retry, and the failure names the activity."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from orderfleet.domain.activities import StepInput
from orderfleet.domain.errors import INVALID_INPUT, PayloadDecryptionError
from orderfleet.domain.inputs import Unreadable
from orderfleet.temporal.worker import ActivityIdentity


async def step(_step: StepInput) -> None:
    """An activity."""


class Body(ActivityInboundInterceptor):
    def __init__(self) -> None:
        self.ran = False

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        self.ran = True


async def execute(args: list[Any]) -> bool:
    body = Body()
    call = ExecuteActivityInput(fn=step, args=args, executor=None, headers={})
    await ActivityEnvironment().run(ActivityIdentity().intercept_activity(body).execute_activity, call)
    return body.ran


async def test_activity_with_valid_input_runs() -> None:
    assert await execute([StepInput(order_id="o-1")])


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ([], "takes 1 arguments; 0 were given"),
        ([StepInput(order_id="o-1")] * 2, "takes 1 arguments; 2 were given"),
        ([None], "takes an object of type StepInput"),
        ([{"order_id": "o-1"}], "takes an object of type StepInput"),
        ([Unreadable("order_id: is missing; give it")], "order_id: is missing; give it"),
    ],
)
async def test_activity_with_invalid_input_fails_without_retry(args: list[Any], problem: str) -> None:
    with pytest.raises(ApplicationError) as failure:
        await execute(args)
    assert failure.value.message == f"activity unknown: {problem}"
    assert (failure.value.type, failure.value.non_retryable) == (INVALID_INPUT, True)


async def test_activity_whose_input_no_key_decrypts_is_retried() -> None:
    with pytest.raises(PayloadDecryptionError, match="no key"):
        await execute([Unreadable("there is no key", encrypted=True)])
