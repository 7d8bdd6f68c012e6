"""The order worker: wires the order workflows to the record and the payment provider.

`orderfleet worker orders` runs it; `orderfleet worker all` takes its duty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from temporalio.client import Client

from orderfleet.observers import OrphanObserver, Unwatched
from orderfleet.orders.activities import OrderActivities
from orderfleet.orders.compensation import CompensationWorkflow
from orderfleet.orders.maintenance import MaintenanceActivities
from orderfleet.orders.orphan_sweep import OrphanSweepWorkflow
from orderfleet.orders.orphan_sweep_schedule import ensure_orphan_sweep, keep_orphan_sweep
from orderfleet.orders.refund import RefundWorkflow
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.payments import adapter, payment_provider
from orderfleet.payments.measured import MeasuredPayments
from orderfleet.ports import OrderWorkflows, OrphanStore, PaymentProvider
from orderfleet.runtime.order_workflows import TemporalOrderWorkflows
from orderfleet.runtime.process import Stop
from orderfleet.runtime.settings import Settings
from orderfleet.runtime.worker import Duty, Wire, serve
from orderfleet.steps.around import around_steps
from orderfleet.store import Database, OrderRecord, Orphans, connect
from orderfleet.telemetry.calls import CallMetrics
from orderfleet.telemetry.orphans import OrphanMetrics
from orderfleet.telemetry.record import RecordMetrics
from orderfleet.telemetry.steps import StepMetrics

WORKFLOWS: Final = (OrderWorkflow, RefundWorkflow, CompensationWorkflow, OrphanSweepWorkflow)
"""Every workflow of the order worker's queue."""


def duty(
    settings: Settings,
    record: OrderRecord,
    provider: PaymentProvider,
    orphans: OrphanStore,
    order_workflows: OrderWorkflows,
    observer: OrphanObserver | None = None,
    background: Sequence[Callable[[], Awaitable[None]]] = (),
) -> Duty:
    """What the order worker serves."""
    orders = OrderActivities(record, provider)
    maintenance = MaintenanceActivities(orphans, order_workflows, observer or Unwatched())
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
            maintenance.sweep_closed_workflows,
            maintenance.sweep_unfinished_orders,
            maintenance.record_compensation,
            maintenance.check_workflow,
        ],
        interceptors=around_steps(record, settings.faults, StepMetrics()),
        background=background,
    )


def wired(settings: Settings, database: Database, provider: PaymentProvider) -> Wire:
    """The duty over the database and the provider; the schedule of the orphan sweep is kept beside it."""
    measured = MeasuredPayments(provider, CallMetrics("payments", adapter(settings)))
    told = RecordMetrics()

    async def wire(client: Client) -> Duty:
        await ensure_orphan_sweep(client, settings)
        return duty(
            settings,
            OrderRecord(database, told),
            measured,
            Orphans(database, told),
            TemporalOrderWorkflows(client),
            OrphanMetrics(),
            background=[lambda: keep_orphan_sweep(client, settings)],
        )

    return wire


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop."""
    async with connect(settings, "orders") as database, payment_provider(settings) as provider:
        await serve(settings, stop, [wired(settings, database, provider)])
