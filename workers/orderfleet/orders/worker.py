"""The order worker: connects the order workflows and activities to the database and the payment provider.

`orderfleet worker orders` runs it alone; `orderfleet worker all` runs it beside the shipping worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from temporalio.client import Client

from orderfleet.domain import address_rules
from orderfleet.domain.differences import DifferenceStore
from orderfleet.domain.ports import OrderWorkflows, OrphanStore
from orderfleet.observability.order_metrics import ProviderCallMetrics
from orderfleet.orders.activities import OrderActivities
from orderfleet.orders.compensation import CompensationWorkflow, RefundWorkflow
from orderfleet.orders.maintenance import MaintenanceActivities
from orderfleet.orders.orphan_sweep import OrphanSweepWorkflow
from orderfleet.orders.payment_activities import PaymentActivities
from orderfleet.orders.reconciliation import ReconciliationWorkflow
from orderfleet.orders.reconciliation_activities import ReconciliationActivities
from orderfleet.orders.refund_activities import RefundActivities
from orderfleet.orders.schedules import ensure_schedule, keep_schedules, schedules
from orderfleet.orders.workflow import OrderWorkflow
from orderfleet.process import Stop
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.providers.metered import metered_payments
from orderfleet.providers.registry import PAYMENT_PROVIDERS
from orderfleet.providers.zero_amounts import without_zero_amounts
from orderfleet.settings import Settings
from orderfleet.store.pool import Database, connect
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from orderfleet.temporal.order_workflows import TemporalOrderWorkflows
from orderfleet.temporal.step_interceptors import StepInterceptor
from orderfleet.temporal.worker import WorkerFactory, WorkerSpec, serve

WORKFLOWS: Final = (OrderWorkflow, RefundWorkflow, CompensationWorkflow, OrphanSweepWorkflow, ReconciliationWorkflow)
"""Every workflow of the order worker's queue."""


def worker_spec(
    settings: Settings,
    record: OrderWrites,
    provider: PaymentProvider,
    orphans: OrphanStore,
    order_workflows: OrderWorkflows,
    differences: DifferenceStore,
    background: Sequence[Callable[[], Awaitable[None]]] = (),
) -> WorkerSpec:
    """Workflows and activities of the order worker.

    Args:
        settings: of the worker.
        record: the order store.
        provider: the payment provider.
        orphans: orphaned orders in the database.
        order_workflows: order workflows in Temporal.
        differences: between the ledger and the payment provider, in the database.
        background: tasks that run as long as the worker.
    """
    # Workflows check addresses, and must not read files.
    address_rules.preload()
    without_zeros = without_zero_amounts(provider)
    payments, refunds = PaymentActivities(record, without_zeros), RefundActivities(record, without_zeros)
    orders = OrderActivities(
        record,
        provider,
        require_prices=settings.prices_required(),
        address_checks=settings.address_checks(),
        unique_reference=settings.unique_reference,
    )
    maintenance = MaintenanceActivities(orphans, order_workflows)
    reconciliation = ReconciliationActivities(differences, record, provider, order_workflows)
    return WorkerSpec(
        task_queue=settings.orders_task_queue,
        workflows=WORKFLOWS,
        activities=[
            orders.receive,
            orders.validate,
            orders.record,
            payments.charge,
            payments.look_up_payment,
            payments.capture_payment,
            payments.void_payment,
            refunds.begin_refund,
            refunds.refund,
            maintenance.sweep_closed_workflows,
            maintenance.sweep_unfinished_orders,
            maintenance.record_compensation,
            maintenance.check_workflow,
            reconciliation.reconcile_window,
            reconciliation.reconcile_open,
        ],
        interceptors=[StepInterceptor(record, settings.faults)],
        background=background,
    )


def build(settings: Settings, database: Database, provider: PaymentProvider) -> WorkerFactory:
    """The worker over the order store and the provider; it keeps the schedules of the order workers."""
    measured = metered_payments(provider, ProviderCallMetrics("payments", PAYMENT_PROVIDERS.name(settings)))

    async def wire(client: Client) -> WorkerSpec:
        kept = schedules(settings)
        for schedule in kept:
            await ensure_schedule(client, schedule)
        return worker_spec(
            settings,
            OrderWrites(database),
            measured,
            PostgresOrphanStore(database),
            TemporalOrderWorkflows(client),
            PostgresDifferences(database),
            background=[lambda: keep_schedules(client, kept)],
        )

    return wire


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop."""
    async with connect(settings, "orders") as database, PAYMENT_PROVIDERS.open(settings) as provider:
        await serve(settings, stop, [build(settings, database, provider)])
