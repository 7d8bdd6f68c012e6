"""Workflow side: starts the refund workflow of a payment once.

The workflow id is derived from the payment, so that a refund starts once. Any client can start a workflow of that id,
so a workflow that has it must never be taken for the refund before it is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.common import WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError
    from temporalio.workflow import ParentClosePolicy

    from orderfleet.domain import names
    from orderfleet.domain.activities import CheckWorkflowInput, CheckWorkflowResult, IdHolder
    from orderfleet.domain.refunds import RefundOrder, RefundResult

from orderfleet.temporal.step_runner import ActivityRef, StepRunner

NUMBERED: Final = 5
"""Number of ids that are tried before a random one, which no other client can know."""


async def check_workflow(steps: StepRunner, step: CheckWorkflowInput, task_queue: str) -> IdHolder:
    """Return which workflow has an id, from an activity of the order worker that is retried until it succeeds.

    Args:
        steps: runs the activity.
        step: the id, and what the workflow should be.
        task_queue: of the order workers.
    """
    check: ActivityRef[CheckWorkflowInput, CheckWorkflowResult] = ActivityRef(
        "check_workflow", CheckWorkflowResult, task_queue
    )
    return (await steps.retry_forever(check, step, steps.policy.record)).holder


async def start_refund(
    steps: StepRunner, refund: RefundOrder, task_queue: str, on_conflict: Callable[[str], None]
) -> workflow.ChildWorkflowHandle[Any, RefundResult] | IdHolder:
    """Start the refund workflow of a payment.

    Args:
        steps: runs the check of a workflow that has the id.
        refund: what the workflow is started with.
        task_queue: of the order workers.
        on_conflict: called with each id that a workflow of another origin has.

    Returns:
        The child that was started; or `OPEN` or `COMPLETED`, when this payment's refund was started before.
    """
    number = 1
    while True:
        workflow_id = names.refund_workflow_id(refund.payment.payment_id, number)
        if number > NUMBERED:
            workflow_id = f"{names.refund_workflow_id(refund.payment.payment_id)}/{workflow.uuid4()}"
        try:
            return await workflow.start_child_workflow(
                names.REFUND_WORKFLOW,
                refund,
                id=workflow_id,
                task_queue=task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
                memo=refund.memo(),
                result_type=RefundResult,
            )
        except WorkflowAlreadyStartedError:
            check = CheckWorkflowInput(
                order_id=refund.order_id,
                workflow_id=workflow_id,
                workflow_type=names.REFUND_WORKFLOW,
                memo=refund.memo(),
            )
            holder = await check_workflow(steps, check, task_queue)
        match holder:
            case IdHolder.OPEN | IdHolder.COMPLETED:
                return holder
            case IdHolder.FOREIGN:
                on_conflict(workflow_id)
                number += 1
            case IdHolder.ENDED:
                # The refund was terminated or canceled before it was done; Temporal rejects another run of this id.
                number += 1
            case IdHolder.NONE:
                pass  # Temporal has deleted the workflow since, so the id is free
