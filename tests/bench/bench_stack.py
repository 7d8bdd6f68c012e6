"""A new stack for a run of the benchmark: Postgres, Temporal and a receiver of traces.

Postgres commits durably here, unlike in the local stack and in tests, because commits are part of the measurement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from temporalio.client import Client

from bench.contenders import settings_of, start_sink
from orderfleet.observability.tracing import export_spans
from orderfleet.store.migrate import migrate
from orderfleet.temporal.connection import connect
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import postgres, processes, temporal_server
from orderfleet_local.stack.launch import launch
from support.backing import Kubernetes, session

_DURABLE = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class BenchStack:
    """The parts of the stack, with their addresses."""

    folder: Path
    temporal: psutil.Process
    postgres: psutil.Process
    temporal_address: str
    database_url: str
    plain: Client
    """Without the product's interceptors and converters, as the empty fleet uses it."""
    client: Client
    """With the product's interceptors, so that each order begins a trace."""
    kubernetes: Callable[[], Kubernetes]
    """Starts an API server that knows Orders; returns it with a namespace."""

    settings: dict[str, str]
    """Variables of every process of Orderfleet."""

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of one of Orderfleet's processes, with `more`."""
        return {**self.settings, **more}


@asynccontextmanager
async def bench_stack(*, tracing: bool = True) -> AsyncIterator[BenchStack]:
    """Start the stack; on exit, stop it and every process in its folder."""
    tools = provide(["temporal"])
    with session() as backing:
        folder = backing.folder
        try:
            database = launch(postgres.part(folder / "postgres", 0, _DURABLE), folder)
            server = launch(temporal_server.part(folder / "temporal", tools["temporal"], port=0, ui_port=None), folder)
            address, url = temporal_server.address(server.ports), postgres.database_url(database.ports)
            await migrate(url)
            variables = {
                "ORDERFLEET_ENVIRONMENT": "local",
                "ORDERFLEET_TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
                "ORDERFLEET_TEMPORAL_ADDRESS": address,
                "ORDERFLEET_DATABASE_URL": url,
                "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
                "ORDERFLEET_OTLP_ENDPOINT": start_sink(folder) if tracing else "",
            }
            own = settings_of(variables)
            with export_spans(own.otlp_endpoint, "bench", environment=own.environment, ratio=own.trace_ratio):
                yield BenchStack(
                    folder=folder,
                    temporal=server.process,
                    postgres=database.process,
                    temporal_address=address,
                    database_url=url,
                    plain=await Client.connect(address),
                    client=await connect(own),
                    settings=variables,
                    kubernetes=backing.kubernetes,
                )
        finally:
            await asyncio.to_thread(backing.stop)
            processes.forget_children()
