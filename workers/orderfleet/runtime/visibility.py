"""What Temporal's visibility says of orders that ended otherwise than by completing.

The sweep's activity asks it: one query for all orders, never one per order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from orderfleet.contracts import names
from orderfleet.contracts.errors import OrderfleetError
from orderfleet.contracts.settle import ClosedWorkflow
from orderfleet.runtime.absent import workflow_absent

LIMIT: Final = 1000
"""Most workflows one look returns, the oldest first; the next look goes on from there."""


class VisibilityUnavailable(OrderfleetError):
    """Temporal's visibility did not answer. Retried."""


class Visibility:
    """Over a connected client."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def ended_from_outside(self, since: datetime) -> list[ClosedWorkflow]:
        """Order workflows that closed after `since` and did not complete.

        Raises:
            VisibilityUnavailable: Temporal did not answer.
        """
        query = (
            f'WorkflowType = "{names.ORDER_WORKFLOW}"'
            ' AND ExecutionStatus IN ("Terminated", "TimedOut", "Canceled", "Failed")'
            f' AND CloseTime > "{since.isoformat()}"'
        )
        found: list[ClosedWorkflow] = []
        try:
            async for closed in self._temporal.list_workflows(query, limit=LIMIT):
                if not closed.id.startswith(names.order_workflow_id("")) or closed.status is None:
                    continue
                how = closed.status.name.lower().replace("_", " ")
                found.append(ClosedWorkflow(order_id=names.order_id_of(closed.id), run_id=closed.run_id, how=how))
        except RPCError as error:
            raise VisibilityUnavailable(error.message) from error
        return found

    async def is_running(self, order_id: str) -> bool:
        """Whether the order's workflow runs all the same, as after a reset.

        Raises:
            VisibilityUnavailable: Temporal did not answer.
        """
        handle = self._temporal.get_workflow_handle(names.order_workflow_id(order_id))
        try:
            return (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        except RPCError as error:
            if workflow_absent(error):
                return False
            raise VisibilityUnavailable(error.message) from error
