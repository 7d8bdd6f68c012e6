"""Injected faults: a step whose attempts are used up, and a step that hangs, at every step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.status import PaymentStatus, Step
from support.factories import AUTO, quick_policy
from support.workflow_env import WorkflowTestEnv, workflow_test_env

HASTY = StepPolicy(attempt_timeout="300ms", initial_interval="10ms")
STEPS = ["receive", "validate", "charge", "prepare_package", "dispatch_carrier"]
POLICIES = dict(zip(STEPS, ["receive", "validation", "charge", "prepare_package", "dispatch_carrier"], strict=True))

Faulty = Callable[[str], AbstractAsyncContextManager[WorkflowTestEnv]]


@pytest.fixture
def faulty(temporal_client: Client, postgres_url: str, task_queues) -> Faulty:
    return lambda faults: workflow_test_env(
        temporal_client, postgres_url, task_queues.orders, task_queues.shipping, faults=faults
    )


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["error", "hang"])
async def test_step_without_attempts_left_fails_the_order_refunded(faulty: Faulty, step: str, kind: str) -> None:
    async with faulty(f"{step}:{kind}=1,length=30s") as workflow_env:
        policy = quick_policy(workflow_env.settings, **{POLICIES[step]: HASTY})
        order_id = f"f-1-{step}-{kind}"
        handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO, policy=policy))
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        message = "injected fault" if kind == "error" else f"{step} timed out"
        assert message in str(failure.value.cause)
        assert workflow_env.provider.balance(f"pay-{order_id}") == 0
        assert not workflow_env.carrier.parcels
        if step == "receive":
            assert await workflow_env.reads.order(order_id) is None
            return
        status = (await workflow_env.recorded(order_id)).status
        assert status.step is Step.FAILED
        assert message in (status.last_error or "")
        if step in {"prepare_package", "dispatch_carrier"}:
            assert status.payment.status is PaymentStatus.REFUNDED
        failed = [e.detail for e in await workflow_env.events(order_id) if e.kind == "attempt_failed"]
        recorded_attempts = sorted(detail["attempt"] for detail in failed if detail["activity"] == step)
        # The next attempt records one that timed out; the failure of the step reports the last. A local one is in none.
        once = [1, 2, 3] if kind == "error" else [1, 2]
        shipments = policy.shipping_attempts if step in {"prepare_package", "dispatch_carrier"} else 1
        assert recorded_attempts == sorted(once * shipments)


@pytest.mark.slow
async def test_fewer_faults_than_attempts_are_retried(faulty: Faulty) -> None:
    async with faulty("all:error=0.3;seed=4") as workflow_env:
        many = StepPolicy(attempts=30, initial_interval="10ms", maximum_interval="10ms")
        policy = quick_policy(workflow_env.settings, **dict.fromkeys(POLICIES.values(), many))
        for number in range(5):
            status = await (
                await workflow_env.start(workflow_env.order(f"f-2-{number}", review=AUTO, policy=policy))
            ).result()
            assert status.step is Step.SHIPPED
            assert workflow_env.provider.charges[f"pay-f-2-{number}"] == 1
