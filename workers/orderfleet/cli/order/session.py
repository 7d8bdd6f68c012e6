"""Connects a subcommand of `orderfleet order` or `payments`, and runs its calls; their arguments and completion.

In a checkout whose local stack runs, an address that isn't set is the stack's.

All calls share an event loop that stays open until the process ends. `asyncio.run` closes its loop, and a thread of
Temporal's client that completes an abandoned call after that prints a traceback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

import typer
from temporalio.envconfig import ClientConfig

from orderfleet.cli import output
from orderfleet.cli.errors import read_settings
from orderfleet.cli.local_stack import stack_settings
from orderfleet.domain.names import may_be_workflow_id
from orderfleet.domain.ports import OrderReader
from orderfleet.domain.status import OrderFilter
from orderfleet.observability.tracing import export_spans
from orderfleet.services.inspection import OrderInspector
from orderfleet.services.orders import OrderService
from orderfleet.services.payments import PaymentService
from orderfleet.services.refunds import RefundService
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.finance import FinanceReads
from orderfleet.store.pool import connect as connect_to_store
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.connection import connect as connect_to_temporal


@dataclass(frozen=True)
class Connection:
    """The services of one command; each connects at its first call."""

    orders: OrderService
    inspector: OrderInspector
    reads: OrderReader
    payments: PaymentService
    refunds: RefundService


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Yield the services of one command; their connections are closed on exit."""
    temporal = await connect_to_temporal(settings, lazy=True)
    with export_spans(settings.otlp_endpoint, "cli", environment=settings.environment, ratio=settings.trace_ratio):
        async with connect_to_store(settings, "cli") as database:
            reads = OrderReads(database)
            client = OrderClient.of(temporal, settings)
            orders = OrderService(client, reads, unique_reference=settings.unique_reference)
            ledger = FinanceReads(database)
            yield Connection(
                orders=orders,
                inspector=OrderInspector(temporal),
                reads=reads,
                payments=PaymentService(orders, ledger),
                refunds=RefundService.of(temporal, orders, ledger, settings),
            )


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
    # Temporal's own variables and profile file count too.
    return bool(ClientConfig.load_client_connect_config())


_T = TypeVar("_T")

_runners: Final[list[asyncio.Runner]] = []


def run_async(main: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of `main`, run as by `asyncio.run` but on a loop that stays open."""
    if not _runners:
        _runners.append(asyncio.Runner())
    return _runners[0].run(main)


COMPLETION_TIMEOUT: Final = timedelta(seconds=1)
"""How long completion waits for the order store; a user doesn't wait longer for the Tab key."""

COMPLETION_LIMIT: Final = 200
"""Number of newest orders that completion offers."""


def complete_order_id(incomplete: str) -> list[tuple[str, str]]:
    """Return the order ids that start with `incomplete`, newest first, with their steps; empty on any failure."""
    # asyncio logs a connection that the timeout cancels, into the line that the user is typing.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        settings = local_settings().model_copy(update={"database_timeout": COMPLETION_TIMEOUT})
        newest = run_async(asyncio.wait_for(_newest(settings), COMPLETION_TIMEOUT.total_seconds()))
    except Exception:  # noqa: BLE001 - a completion must not print an error into the line that the user is typing
        return []
    return [(order_id, step) for order_id, step in newest if order_id.startswith(incomplete)]


async def _newest(settings: Settings) -> list[tuple[str, str]]:
    async with connect_to_store(settings, "completion") as database:
        page = await OrderReads(database).orders_page(OrderFilter(), limit=COMPLETION_LIMIT)
    return [(order.order_id, str(order.step)) for order in page.orders]


OrderId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The order's id, or its workflow id: order-ID.", autocompletion=complete_order_id
    ),
]

NO_REASON: Final = "canceled on request"


async def resolve_order_id(connection: Connection, name: str) -> str:
    """Return the order id for an order id or a workflow id; see `OrderService.order_id_of`."""
    return await connection.orders.order_id_of(name) if may_be_workflow_id(name) else name


def run_with_progress(
    call: Callable[[Connection], Awaitable[_T]], text: str = "waiting for a response", settings: Settings | None = None
) -> _T:
    """Connect and return the result of `call`; show progress if it takes long.

    Args:
        call: what to do with the connection.
        text: what the command waits for.
        settings: None: those of this process or of the local stack.
    """
    with output.progress(text):
        return run(call, settings)


def run(call: Callable[[Connection], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """As `run_with_progress`, for a call that prints its own progress."""
    chosen = settings or local_settings()

    async def main() -> _T:
        async with connect(chosen) as opened:
            return await call(opened)

    return run_async(main())
