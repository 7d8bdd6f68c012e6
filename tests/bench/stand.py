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
from contenders import start_sink
from temporalio.client import Client

from backing import Kubernetes, session
from orderfleet.runtime.converter import DATA_CONVERTER
from orderfleet.stack import postgres, processes, temporal_server
from orderfleet.stack.launch import launch
from orderfleet.stack.provision.ladder import provide
from orderfleet.store.migrate import migrate

_DURABLE = {"fsync": "on", "full_page_writes": "on"}


@dataclass
class Stand:
    """The stack, and how to reach its parts."""

    folder: Path
    temporal: psutil.Process
    postgres: psutil.Process
    temporal_address: str
    database_url: str
    endpoint: str
    """Where traces go; empty for none."""
    plain: Client
    """Without a data converter of ours, as the yardstick's."""
    client: Client
    """With the product's data converter."""
    kubernetes: Callable[[], Kubernetes]
    """Starts an API server that knows Orders; returns it with a namespace."""

    def environment(self, **more: str) -> dict[str, str]:
        """What Orderfleet's processes are told."""
        return {
            "ORDERFLEET_ENVIRONMENT": "local",
            "ORDERFLEET_TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
            "ORDERFLEET_TEMPORAL_ADDRESS": self.temporal_address,
            "ORDERFLEET_DATABASE_URL": self.database_url,
            "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
            "ORDERFLEET_OTLP_ENDPOINT": self.endpoint,
            **more,
        }


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
            endpoint = start_sink(folder) if tracing else ""
            yield Stand(
                folder=folder,
                temporal=server.process,
                postgres=database.process,
                temporal_address=address,
                database_url=url,
                endpoint=endpoint,
                plain=await Client.connect(address),
                client=await Client.connect(address, data_converter=DATA_CONVERTER),
                kubernetes=backing.kubernetes,
            )
        finally:
            await asyncio.to_thread(backing.stop)
            processes.let_go()
