"""The order that a shipment belongs to: told by signal, and stood in for once its workflow is gone.

The shipping workflow calls it. It runs in workflow code and touches no I/O.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.common import WorkflowIDReusePolicy
    from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
    from temporalio.workflow import ParentClosePolicy

    from orderfleet.contracts import names
    from orderfleet.contracts.refund import RefundOrder
    from orderfleet.contracts.shipping import ShippingInput


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

    async def owe_refund(self, reason: str) -> None:
        """Start the refund that the order would have owed; once, whoever else does."""
        given = self._given
        try:
            await workflow.start_child_workflow(
                names.REFUND_WORKFLOW,
                RefundOrder(order_id=given.order_id, payment=given.payment, reason=reason, policy=given.policy),
                id=names.refund_workflow_id(given.payment.payment_id),
                task_queue=given.orders_task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return
