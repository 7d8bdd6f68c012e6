"""Connects one command to Temporal and the order store.

In a checkout whose local stack runs, an address that isn't set is the stack's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orderfleet.cli.errors import read_settings
from orderfleet.cli.local_stack import stack_settings

if TYPE_CHECKING:
    from orderfleet.domain.ports import OrderReader
    from orderfleet.services.inspection import OrderInspector
    from orderfleet.services.orders import OrderService
    from orderfleet.settings import Settings


@dataclass(frozen=True)
class Connection:
    """The services of one command; each connects at its first call."""

    orders: OrderService
    inspector: OrderInspector
    reads: OrderReader


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Yield the services of one command; their connections are closed on exit."""
    from orderfleet.observability.tracing import export_spans  # noqa: PLC0415
    from orderfleet.services.inspection import OrderInspector  # noqa: PLC0415 - `--help` needs none
    from orderfleet.services.orders import OrderService  # noqa: PLC0415 - `--help` needs none
    from orderfleet.services.workflow_client import OrderClient  # noqa: PLC0415 - `--help` needs none
    from orderfleet.store.pool import connect as connect_to_store  # noqa: PLC0415
    from orderfleet.store.reads import OrderReads  # noqa: PLC0415
    from orderfleet.temporal.connection import connect as connect_to_temporal  # noqa: PLC0415

    temporal = await connect_to_temporal(settings, lazy=True)
    with export_spans(settings.otlp_endpoint, "cli", environment=settings.environment, ratio=settings.trace_ratio):
        async with connect_to_store(settings, "cli") as database:
            reads = OrderReads(database)
            client = OrderClient.of(temporal, settings)
            orders = OrderService(client, reads, unique_reference=settings.unique_reference)
            yield Connection(orders, OrderInspector(temporal), reads)


def local_settings() -> Settings:
    """Return the settings of this process; those that are not set come from the local stack if it runs.

    Raises:
        UsageError: a setting is invalid.
    """
    settings = read_settings()
    stack = stack_settings()
    return read_settings(**{name: value for name, value in stack.items() if not _is_set(settings, name)})


def _is_set(settings: Settings, name: str) -> bool:
    if name in settings.model_fields_set:
        return True
    if name == "database_url":
        return settings.database_url_file is not None
    if name not in {"temporal_address", "temporal_namespace"}:
        return False
    from temporalio.envconfig import ClientConfig  # noqa: PLC0415

    # Temporal's own variables and profile file count too.
    return bool(ClientConfig.load_client_connect_config())
