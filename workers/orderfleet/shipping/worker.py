"""The shipping worker: connects the shipping workflow and activities to the database and the carrier.

`orderfleet worker shipping` runs it alone; `orderfleet worker all` runs it beside the order worker.
"""

from __future__ import annotations

from typing import Final

from temporalio.client import Client
from temporalio.common import VersioningBehavior

from orderfleet.domain.ports import Carrier
from orderfleet.observability.order_metrics import CallMetrics, StepMetrics
from orderfleet.process import Stop
from orderfleet.providers.carriers import adapter
from orderfleet.providers.carriers import carrier as open_carrier
from orderfleet.providers.metered import MeteredCarrier
from orderfleet.settings import Settings
from orderfleet.shipping.activities import ShippingActivities
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.store.pool import Database, connect
from orderfleet.store.writes import OrderRecord
from orderfleet.temporal.step_interceptors import around_steps
from orderfleet.temporal.worker import WorkerFactory, WorkerSpec, serve

WORKFLOWS: Final = (ShippingWorkflow,)
"""Every workflow of the shipping workers' task queue."""


def worker_spec(settings: Settings, store: OrderRecord, carrier: Carrier) -> WorkerSpec:
    """Workflows and activities of the shipping worker.

    Args:
        settings: of the worker.
        store: the order store.
        carrier: the carrier.
    """
    activities = ShippingActivities(store, carrier)
    return WorkerSpec(
        task_queue=settings.shipping_task_queue,
        workflows=WORKFLOWS,
        activities=[
            activities.prepare_package,
            activities.dispatch_carrier,
            activities.record_shipment,
            activities.void_booking,
        ],
        interceptors=around_steps(store, settings.faults, StepMetrics()),
        # A shipment lasts minutes, so it ends on the version that it started on. An order lasts months and is upgraded.
        versioning=VersioningBehavior.PINNED,
    )


def build(settings: Settings, database: Database, carrier: Carrier) -> WorkerFactory:
    """A factory of the shipping worker.

    Args:
        settings: of the worker.
        database: of the orders.
        carrier: the carrier.
    """
    metered = MeteredCarrier(carrier, CallMetrics("carrier", adapter(settings)))

    async def build_spec(_client: Client) -> WorkerSpec:
        return worker_spec(settings, OrderRecord(database), metered)

    return build_spec


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until `stop` is set."""
    async with connect(settings, "shipping") as database, open_carrier(settings) as carrier:
        await serve(settings, stop, [build(settings, database, carrier)])
