"""How `orderfleet order` reaches Temporal and the record. Also where to look when nothing says so.

In a checkout whose local stack runs, an address that nothing sets is the stack's own, whatever port
it had to take.
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
class Reach:
    """What one command reaches, each connecting when it is first asked."""

    desk: OrderService
    inspector: OrderInspector
    reads: OrderReader


@asynccontextmanager
async def reach(settings: Settings) -> AsyncIterator[Reach]:
    """Open the connections for one command."""
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
            yield Reach(OrderService(OrderClient.of(temporal, settings), reads), OrderInspector(temporal), reads)


def local_settings() -> Settings:
    """The settings; what they leave open is taken from the local stack if one runs."""
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
