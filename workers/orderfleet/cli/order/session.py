"""One event loop for a command, which stays open until the process ends.

Every command that asks Temporal calls `run`. `asyncio.run` closes its loop, and Temporal's client, whose
threads answer calls that nobody waits for any more, prints a traceback for each that finds it closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from orderfleet.cli import connection, output
from orderfleet.cli.output import Output
from orderfleet.domain.names import may_be_workflow_id

if TYPE_CHECKING:
    from orderfleet.cli.connection import Connection
    from orderfleet.settings import Settings


_T = TypeVar("_T")


_kept: Final[list[asyncio.Runner]] = []


def run_async(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end, as `asyncio.run` does, on a loop that stays open."""
    if not _kept:
        _kept.append(asyncio.Runner())
    return _kept[0].run(main)


PATIENCE: Final = timedelta(seconds=1)

"""How long the record may take: longer than that nobody waits for a key."""

LOOKED_AT: Final = 200

"""Newest orders: an older one's id is typed or pasted."""


def order_ids(incomplete: str) -> list[tuple[str, str]]:
    """The ids that begin with `incomplete`, newest first, each with its order's step; none if nobody answers."""
    # A connection that is given up in the middle is told to asyncio's logger, which would write into the line
    # that is being typed.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        # What has to be loaded first is not the record's fault.
        from orderfleet import store  # noqa: F401, PLC0415 - `--help` doesn't need it

        settings = connection.local_settings().model_copy(update={"database_timeout": PATIENCE})
        found = run_async(asyncio.wait_for(_newest(settings), PATIENCE.total_seconds()))
    except Exception:  # noqa: BLE001 - whatever it is, the person is in the middle of typing
        return []
    return [(order_id, step) for order_id, step in found if order_id.startswith(incomplete)]


async def _newest(settings: Settings) -> list[tuple[str, str]]:
    from orderfleet.domain.listing import OrderFilter  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.store.pool import connect  # noqa: PLC0415
    from orderfleet.store.reads import OrderReads  # noqa: PLC0415

    async with connect(settings, "completion") as database:
        page = await OrderReads(database).orders_page(OrderFilter(), limit=LOOKED_AT)
    return [(order.order_id, str(order.step)) for order in page.orders]


OrderId = Annotated[
    str, typer.Argument(metavar="ID", help="The order's id, or its workflow's: order-ID.", autocompletion=order_ids)
]

Street = Annotated[str | None, typer.Option(help="Of the new address.")]

City = Annotated[str | None, typer.Option(help="Of the new address.")]

State = Annotated[str | None, typer.Option(help="Of the new address.")]

Zip = Annotated[str | None, typer.Option("--zip", help="Of the new address.")]

Country = Annotated[str | None, typer.Option(help="Of the new address.")]


TABLE: Final = Output.TABLE

NO_REASON: Final = "canceled on request"


def example(*lines: str) -> str:
    """The examples below a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet order {line}" for line in lines)


async def named(connection: Connection, name: str) -> str:
    """The id of the order that was named by its id or its workflow's; see `OrderService.order_id_of`."""
    return await connection.orders.order_id_of(name) if may_be_workflow_id(name) else name


def ask(
    call: Callable[[Connection], Awaitable[_T]], waits_for: str = "waiting for an answer", settings: Settings | None = None
) -> _T:
    """Connect, make one call, and say what is waited for when that takes long."""
    with output.shown(waits_for):
        return run(call, settings)


def run(call: Callable[[Connection], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """As `ask`, for what shows by itself how it goes."""
    given = settings or connection.local_settings()

    async def main() -> _T:
        async with connection.connect(given) as opened:
            return await call(opened)

    return run_async(main())
