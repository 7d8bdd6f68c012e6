"""One fresh stack for a run of the benchmark: Postgres, Temporal, a receiver of traces.

`bench` opens it and adds the contenders. Postgres commits durably here, unlike in the local stack and in
tests: what a commit costs belongs to what is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from contenders import settings_of, start_sink
from temporalio.client import Client

from orderfleet.observability.tracing import export_spans
from orderfleet.store.migrate import migrate
from orderfleet.temporal.connection import connect
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import postgres, processes, temporal_server
from orderfleet_local.stack.launch import launch
from support.backing import Kubernetes, session

_DURABLE = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class Stand:
    """The stack, and how to reach its parts."""

    folder: Path
    temporal: psutil.Process
    postgres: psutil.Process
    temporal_address: str
    database_url: str
    plain: Client
    """Without anything of ours, as the yardstick's."""
    client: Client
    """As the product's own, so that each order begins a trace as any other does."""
    kubernetes: Callable[[], Kubernetes]
    """Starts an API server that knows Orders; returns it with a namespace."""

    told: dict[str, str]
    """What every process of Orderfleet is told."""

    def environment(self, **more: str) -> dict[str, str]:
        """What one of Orderfleet's processes is told, and `more`."""
        return {**self.told, **more}


@asynccontextmanager
async def stand(*, tracing: bool = True) -> AsyncIterator[Stand]:
    """Start the stack; end it, and whatever else runs in its folder, when the context closes."""
    tools = provide(["temporal"])
    with session() as backing:
        folder = backing.folder
        try:
            database = launch(postgres.part(folder / "postgres", 0, _DURABLE), folder)
            server = launch(temporal_server.part(folder / "temporal", tools["temporal"], port=0, ui_port=None), folder)
            address, url = temporal_server.address(server.ports), postgres.database_url(database.ports)
            await migrate(url)
            told = {
                "ORDERFLEET_ENVIRONMENT": "local",
                "ORDERFLEET_TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
                "ORDERFLEET_TEMPORAL_ADDRESS": address,
                "ORDERFLEET_DATABASE_URL": url,
                "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
                "ORDERFLEET_OTLP_ENDPOINT": start_sink(folder) if tracing else "",
            }
            own = settings_of(told)
            with export_spans(own.otlp_endpoint, "bench", environment=own.environment, ratio=own.trace_ratio):
                yield Stand(
                    folder=folder,
                    temporal=server.process,
                    postgres=database.process,
                    temporal_address=address,
                    database_url=url,
                    plain=await Client.connect(address),
                    client=await connect(own),
                    told=told,
                    kubernetes=backing.kubernetes,
                )
        finally:
            await asyncio.to_thread(backing.stop)
            processes.forget_children()
