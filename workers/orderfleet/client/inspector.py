"""What Temporal itself knows of an order: the workflow's execution and its history, for people who look into it.

The command line calls it. It only reads, and asks no worker: it answers also while none runs.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus

from orderfleet.client.budget import RPC_TIMEOUT
from orderfleet.client.errors import translated
from orderfleet.client.pending import PendingActivity, pending_activities, pending_children
from orderfleet.client.runs import RunHistory, earlier_runs, with_children
from orderfleet.contracts import names
from orderfleet.contracts.base import Contract


class WorkflowView(Contract):
    """An order's workflow as Temporal describes it."""

    workflow_id: str
    run_id: str
    state: str
    """`running`, or how it closed: `completed`, `failed`, `canceled`, `terminated`, `timed_out`."""
    task_queue: str
    started_at: datetime
    closed_at: datetime | None = None
    history_length: int
    """Events of this run."""
    task_attempt: int = 0
    """Which attempt a worker makes to decide what comes next; 0 while nothing is to decide. One that grows: the code
    breaks or hangs at this order, or kills its worker; the history and the workers' logs say which."""
    earlier_runs: tuple[str, ...] = ()
    """Ids of the runs that this one continues, oldest first, as far as Temporal still has them."""
    owner: str = ""
    """`namespace/name` of the Order that declared it; empty for an order without one."""
    waits_for: tuple[str, ...] = ()
    """Ids of the workflows it has started that aren't over."""
    pending: tuple[PendingActivity, ...] = ()
    """Activities of the order and of what it waits for that aren't done."""


_UNKNOWN: Final = "unknown"


class OrderInspector:
    """Looks at the workflows of orders.

    Args:
        temporal: a client; it may be one that connects when it is needed.
    """

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def workflow(self, order_id: str) -> WorkflowView:
        """Describe the order's workflow, running or closed.

        Raises:
            OrderNotFound: Temporal knows no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        with translated(order_id):
            description = await self._describe(names.order_workflow_id(order_id))
            children = pending_children(description)
            described = await asyncio.gather(*(self._describe(child) for child in children))
            memo = await description.memo()
            earlier = await earlier_runs(self._temporal, description.id, description.run_id)
            pending = await pending_activities((description, *described), self._temporal.data_converter)
        return WorkflowView(
            workflow_id=description.id,
            run_id=description.run_id,
            state=_state(description.status),
            task_queue=description.task_queue,
            started_at=description.start_time,
            closed_at=description.close_time,
            history_length=description.history_length,
            task_attempt=description.raw_description.pending_workflow_task.attempt,
            earlier_runs=earlier,
            owner=str(memo.get(names.MEMO_OWNER, "")),
            waits_for=tuple(children),
            pending=tuple(pending),
        )

    async def history(self, order_id: str) -> list[RunHistory]:
        """The runs of the order's workflow, oldest first, then those of what it started. Raises as `workflow`."""
        with translated(order_id):
            description = await self._describe(names.order_workflow_id(order_id))
            return await with_children(self._temporal, description.id, description.run_id)

    async def _describe(self, workflow_id: str) -> WorkflowExecutionDescription:
        return await self._temporal.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)


def _state(status: WorkflowExecutionStatus | None) -> str:
    return status.name.lower() if status is not None else _UNKNOWN
