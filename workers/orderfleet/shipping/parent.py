"""The order that a shipment belongs to: told by signal, and stood in for once its workflow is gone.

The shipping workflow calls it. It runs in workflow code and touches no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain.payment import RefundOrder
    from orderfleet.domain.shipment import ShippingInput

from orderfleet.temporal.refunds import start_refund
from orderfleet.temporal.step_runner import StepRunner


class Parent:
    """The order of a shipment.

    Args:
        given: what the shipment was started with.
    """

    def __init__(self, given: ShippingInput) -> None:
        self._given = given

    async def tell(self, signal: str, told: Any) -> bool:
        """Signal the order; whether its workflow was there to be told."""
        order = workflow.get_external_workflow_handle(self._given.order_workflow_id)
        try:
            await order.signal(signal, told)
        except ApplicationError:
            return False
        return True

    async def owe_refund(self, reason: str, steps: StepRunner, on_conflict: Callable[[str], None]) -> None:
        """Start the refund that the order would have owed, unless it was started before.

        Args:
            reason: why the money goes back.
            steps: runs the check of a workflow that has the refund's id.
            on_conflict: called with each id that a workflow of another origin has.
        """
        given = self._given
        refund = RefundOrder(order_id=given.order_id, payment=given.payment, reason=reason, policy=given.policy)
        await start_refund(steps, refund, given.orders_task_queue, on_conflict)
