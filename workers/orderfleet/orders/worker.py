"""The order worker: wires the order workflows to the record and the payment provider.

`orderfleet worker orders` runs it; `orderfleet worker all` takes its duty.
"""

from __future__ import annotations

from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from orderfleet.contracts import names
from orderfleet.contracts.settle import Sweep
from orderfleet.orders.activities import OrderActivities
from orderfleet.orders.refund import RefundWorkflow
from orderfleet.orders.settle import SettleWorkflow
from orderfleet.orders.sweep import SweepWorkflow
from orderfleet.orders.upkeep import UpkeepActivities
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.payments import adapter, payment_provider
from orderfleet.payments.measured import MeasuredPayments
from orderfleet.ports import ClosedWorkflows, OrphanStore, PaymentProvider
from orderfleet.runtime.process import Stop
from orderfleet.runtime.settings import Settings
from orderfleet.runtime.visibility import Visibility
from orderfleet.runtime.worker import Duty, Wire, serve
from orderfleet.steps.around import around_steps
from orderfleet.store import Database, OrderRecord, Orphans, connect
from orderfleet.telemetry.calls import CallMetrics
from orderfleet.telemetry.order_trace import untraced
from orderfleet.telemetry.record import RecordMetrics
from orderfleet.telemetry.steps import StepMetrics

WORKFLOWS: Final = (OrderWorkflow, RefundWorkflow, SettleWorkflow, SweepWorkflow)
"""Every workflow of the order worker's queue."""


def duty(
    settings: Settings, record: OrderRecord, provider: PaymentProvider, orphans: OrphanStore, closed: ClosedWorkflows
) -> Duty:
    """What the order worker serves."""
    orders = OrderActivities(record, provider, require_prices=settings.prices_required())
    upkeep = UpkeepActivities(orphans, closed)
    return Duty(
        task_queue=settings.orders_task_queue,
        workflows=WORKFLOWS,
        activities=[
            orders.receive,
            orders.validate,
            orders.record,
            orders.charge,
            orders.void_payment,
            orders.refund,
            upkeep.find_orphans,
            upkeep.settle_record,
        ],
        interceptors=around_steps(record, settings.faults, StepMetrics()),
    )


def wired(settings: Settings, database: Database, provider: PaymentProvider) -> Wire:
    """The duty over the record and the provider; the fleet's sweep is started beside it."""
    measured = MeasuredPayments(provider, CallMetrics("payments", adapter(settings)))
    told = RecordMetrics()

    async def wire(client: Client) -> Duty:
        await start_sweep(client, settings)
        return duty(settings, OrderRecord(database, told), measured, Orphans(database, told), Visibility(client))

    return wire


async def start_sweep(client: Client, settings: Settings) -> None:
    """Start the sweep unless it runs already; one serves all workers of the queue."""
    with untraced():
        await client.start_workflow(
            names.SWEEP_WORKFLOW,
            Sweep(interval=settings.sweep_interval, policy=settings.order_policy()),
            id=f"{names.SWEEP_WORKFLOW_ID}-{settings.orders_task_queue}",
            task_queue=settings.orders_task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop."""
    async with connect(settings, "orders") as database, payment_provider(settings) as provider:
        await serve(settings, stop, [wired(settings, database, provider)])
