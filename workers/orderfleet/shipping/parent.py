"""The order workflow of a shipment: signals it, and starts its refund once it is closed.

It runs in workflow code and must do no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.payment import RefundOrder
    from orderfleet.domain.shipment import ShippingInput

from orderfleet.temporal.refunds import start_refund
from orderfleet.temporal.step_runner import StepRunner


class Parent:
    """The order workflow of a shipment.

    Args:
        shipment: input of the shipping workflow.
    """

    def __init__(self, shipment: ShippingInput) -> None:
        self._shipment = shipment

    async def signal(self, name: str, arg: Any) -> bool:
        """Signal the order workflow.

        Args:
            name: name of the signal.
            arg: its argument.

        Returns:
            False if the workflow is closed.
        """
        order = workflow.get_external_workflow_handle(names.order_workflow_id(self._shipment.order_id))
        try:
            await order.signal(name, arg)
        except ApplicationError:
            return False
        return True

    async def start_refund(self, reason: str, steps: StepRunner, on_conflict: Callable[[str], None]) -> None:
        """Start the refund in place of the order workflow, unless it was started before.

        Args:
            reason: why the payment is refunded.
            steps: runs the check of a workflow that has the refund's id.
            on_conflict: called with each id that a workflow of another origin has.
        """
        shipment = self._shipment
        refund = RefundOrder(
            order_id=shipment.order_id, payment=shipment.payment, reason=reason, policy=shipment.policy
        )
        await start_refund(steps, refund, shipment.orders_task_queue, on_conflict)
