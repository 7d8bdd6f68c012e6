"""The shipping worker: connects the shipping workflow and activities to the database and the carrier.

`orderfleet worker shipping` runs it alone; `orderfleet worker all` runs it beside the order worker.
"""

from __future__ import annotations

from typing import Final

from temporalio.client import Client
from temporalio.common import VersioningBehavior

from orderfleet.observability.order_metrics import ProviderCallMetrics
from orderfleet.process import Stop
from orderfleet.providers.interfaces import Carrier
from orderfleet.providers.metered import MeteredCarrier
from orderfleet.providers.registry import CARRIERS
from orderfleet.settings import Settings
from orderfleet.shipping.activities import ShippingActivities
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.store.pool import Database, connect
from orderfleet.store.writes import OrderWrites
from orderfleet.temporal.step_interceptors import StepInterceptor
from orderfleet.temporal.worker import WorkerFactory, WorkerSpec, serve

WORKFLOWS: Final = (ShippingWorkflow,)
"""Every workflow of the shipping worker's queue."""


def worker_spec(settings: Settings, record: OrderWrites, carrier: Carrier) -> WorkerSpec:
    """Workflows and activities of the shipping worker."""
    activities = ShippingActivities(record, carrier)
    return WorkerSpec(
        task_queue=settings.shipping_task_queue,
        workflows=WORKFLOWS,
        activities=[
            activities.prepare_package,
            activities.dispatch_carrier,
            activities.record_shipment,
            activities.void_booking,
        ],
        interceptors=[StepInterceptor(record, settings.faults)],
        # A shipment takes minutes, so it ends on the code it began with. Orders live for months and change versions.
        versioning=VersioningBehavior.PINNED,
    )


def build(settings: Settings, database: Database, carrier: Carrier) -> WorkerFactory:
    """The worker over the order store and the carrier."""
    measured = MeteredCarrier(carrier, ProviderCallMetrics("carrier", CARRIERS.name(settings)))

    async def wire(_client: Client) -> WorkerSpec:
        return worker_spec(settings, OrderWrites(database), measured)

    return wire


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop."""
    async with connect(settings, "shipping") as database, CARRIERS.open(settings) as carrier:
        await serve(settings, stop, [build(settings, database, carrier)])
