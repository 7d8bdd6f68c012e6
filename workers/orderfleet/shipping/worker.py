"""The shipping worker: wires the shipping workflow to the record and the carrier.

`orderfleet worker shipping` runs it; `orderfleet worker all` takes its duty.
"""

from __future__ import annotations

from typing import Final

from temporalio.client import Client
from temporalio.common import VersioningBehavior

from orderfleet.carriers import adapter
from orderfleet.carriers import carrier as named_carrier
from orderfleet.carriers.measured import MeasuredCarrier
from orderfleet.ports import Carrier
from orderfleet.runtime.process import Stop
from orderfleet.runtime.settings import Settings
from orderfleet.runtime.worker import Duty, Wire, serve
from orderfleet.shipping.activities import ShippingActivities
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.steps.around import around_steps
from orderfleet.store import Database, OrderRecord, connect
from orderfleet.telemetry.calls import CallMetrics
from orderfleet.telemetry.steps import StepMetrics

WORKFLOWS: Final = (ShippingWorkflow,)
"""Every workflow of the shipping worker's queue."""


def duty(settings: Settings, record: OrderRecord, carrier: Carrier) -> Duty:
    """What the shipping worker serves."""
    activities = ShippingActivities(record, carrier)
    return Duty(
        task_queue=settings.shipping_task_queue,
        workflows=WORKFLOWS,
        activities=[
            activities.prepare_package,
            activities.dispatch_carrier,
            activities.record_shipment,
            activities.void_booking,
        ],
        interceptors=around_steps(record, settings.faults, StepMetrics()),
        # Over in minutes: it ends on the code that it began with. Orders live for months and go with the versions.
        versioning=VersioningBehavior.PINNED,
    )


def wired(settings: Settings, database: Database, carrier: Carrier) -> Wire:
    """The duty over the record and the carrier."""
    measured = MeasuredCarrier(carrier, CallMetrics("carrier", adapter(settings)))

    async def wire(_client: Client) -> Duty:
        return duty(settings, OrderRecord(database), measured)

    return wire


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop."""
    async with connect(settings, "shipping") as database, named_carrier(settings) as carrier:
        await serve(settings, stop, [wired(settings, database, carrier)])
