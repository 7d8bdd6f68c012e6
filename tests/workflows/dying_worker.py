"""An order worker process that is killed after its first `record` call has written."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from orderfleet.orders import worker
from orderfleet.settings import Settings
from orderfleet.store.pool import connect
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from orderfleet.temporal.order_workflows import TemporalOrderWorkflows
from orderfleet.temporal.worker import build
from support.scripted_providers import ScriptedPayments


class KillingStore(OrderWrites):
    async def record(self, *args: Any, **options: Any) -> None:
        await super().record(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(address: str) -> None:
    settings = Settings()
    temporal = await Client.connect(address, data_converter=pydantic_data_converter)
    async with connect(settings, "dying") as database:
        spec = worker.worker_spec(
            settings,
            KillingStore(database),
            ScriptedPayments(),
            PostgresOrphanStore(database),
            TemporalOrderWorkflows(temporal),
            PostgresDifferences(database),
        )
        await build(temporal, settings, spec).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
