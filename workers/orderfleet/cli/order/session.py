"""Runs the calls of an `orderfleet order` subcommand; its common arguments, options and completion.

All calls share an event loop that stays open until the process ends. `asyncio.run` closes its loop, and a thread of
Temporal's client that completes an abandoned call after that prints a traceback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from orderfleet.cli import connection as connections
from orderfleet.cli import output
from orderfleet.cli.output import Output
from orderfleet.domain.names import may_be_workflow_id

if TYPE_CHECKING:
    from orderfleet.cli.connection import Connection
    from orderfleet.settings import Settings


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
        # The import comes before the timeout starts, which is for the query alone.
        from orderfleet import store  # noqa: F401, PLC0415 - `--help` doesn't need it

        settings = connections.local_settings().model_copy(update={"database_timeout": COMPLETION_TIMEOUT})
        newest = run_async(asyncio.wait_for(_newest(settings), COMPLETION_TIMEOUT.total_seconds()))
    except Exception:  # noqa: BLE001 - a completion must not print an error into the line that the user is typing
        return []
    return [(order_id, step) for order_id, step in newest if order_id.startswith(incomplete)]


async def _newest(settings: Settings) -> list[tuple[str, str]]:
    from orderfleet.domain.status import OrderFilter  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.store.pool import connect  # noqa: PLC0415
    from orderfleet.store.reads import OrderReads  # noqa: PLC0415

    async with connect(settings, "completion") as database:
        page = await OrderReads(database).orders_page(OrderFilter(), limit=COMPLETION_LIMIT)
    return [(order.order_id, str(order.step)) for order in page.orders]


OrderId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The order's id, or its workflow id: order-ID.", autocompletion=complete_order_id
    ),
]

TABLE: Final = Output.TABLE
NO_REASON: Final = "canceled on request"


def example(*lines: str) -> str:
    """Return the examples below a subcommand's help."""
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet order {line}" for line in lines)


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
    chosen = settings or connections.local_settings()

    async def main() -> _T:
        async with connections.connect(chosen) as opened:
            return await call(opened)

    return run_async(main())
