"""`SweepWorkflow`: looks, every 30 s and once for the whole fleet, for orders ended from outside.

The order workers start it under one id, so there is one however many workers run. One visibility
query a look, never one per order; each order that it finds is settled by a workflow of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.common import WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError
    from temporalio.workflow import ParentClosePolicy

    from orderfleet.contracts import names
    from orderfleet.contracts.settle import Orphan, Settlement, Sweep, SweepInput, SweepResult
    from orderfleet.orders.upkeep import UpkeepActivities

from orderfleet.steps.running import Activity, StepRunner
from orderfleet.steps.starts import read_start

_FIND = Activity(UpkeepActivities.find_orphans, SweepResult)

FIRST_LOOK_BACK: Final = timedelta(days=1)
OVERLAP: Final = timedelta(minutes=5)
"""Visibility lags behind, and an order is recorded after its workflow closed: look again that far back."""
LOOKS_PER_RUN: Final = 200
"""Then the history is long enough to continue as new."""


@workflow.defn(name=names.SWEEP_WORKFLOW)
class SweepWorkflow:
    """The sweep."""

    @workflow.run
    async def run(self, *args: Any) -> None:
        """Look until the run's history is long, then continue as new."""
        sweep = read_start(Sweep, args)
        steps = StepRunner(sweep.policy.outage, lambda _: None)
        since = sweep.since or workflow.now() - FIRST_LOOK_BACK
        for _ in range(LOOKS_PER_RUN):
            started = workflow.now()
            look = SweepInput(order_id="", since=since - OVERLAP)
            found = await steps.run_until_done(_FIND, look, sweep.policy.record, sweep.policy.outage)
            for orphan in found.orphans:
                await _settle(orphan, sweep)
            since = max(since, started)
            await workflow.sleep(sweep.interval)
        workflow.continue_as_new(sweep.model_copy(update={"since": since}))


async def _settle(orphan: Orphan, sweep: Sweep) -> None:
    try:
        await workflow.start_child_workflow(
            names.SETTLE_WORKFLOW,
            Settlement(orphan=orphan, policy=sweep.policy),
            id=names.settle_workflow_id(orphan.order_id),
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
    except WorkflowAlreadyStartedError:
        return  # it is being settled
