"""`orderfleet order watch`: an order live until it has ended, also while Temporal or Postgres is away for a time.

It asks again and again rather than wait to be told: only Temporal knows of attempts that hang.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orderfleet.cli.order.session import TABLE, OrderId, ask, named, run
from orderfleet.cli.output import Output, OutputOption, console, events_table, print_document, status_table, time_text
from orderfleet.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orderfleet.cli.connection import Connection
    from orderfleet.domain.events import RecordedEvent
    from orderfleet.services.orders import SourcedStatus


_GAP: Final = 0.5

_LAST_EVENTS: Final = 12


def watch(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Follow an order until it has ended: a live view on a terminal, elsewhere a line a change."""
    follow(order_id, output)


def follow(order_id: str, output: Output) -> None:
    """Follow an order to its end; a line (JSON) or a document (YAML) a change where asked for."""
    if output is not Output.TABLE:
        run(lambda connection: _documents(connection, order_id, output))
    elif console().is_terminal:
        run(lambda connection: _follow_live(connection, order_id))
    else:
        run(lambda connection: _lines(connection, order_id))


async def _states(connection: Connection, order_id: str) -> AsyncIterator[SourcedStatus | str]:
    """The order at each change, up to the one in which it has ended; a text says what is away.

    Raises:
        OrderNotFound: there is no such order.
    """
    from orderfleet.services.errors import TemporalUnavailable  # noqa: PLC0415 - `--help` doesn't need it

    order_id = await named(connection, order_id)
    before: SourcedStatus | str = ""
    while True:
        try:
            now: SourcedStatus | str = await connection.orders.live(order_id)
        except (TemporalUnavailable, StoreUnavailable) as error:
            if not before:
                raise
            now = f"{error}; trying again"
        if now != before:
            yield now
            before = now
        if not isinstance(now, str) and now.ended:
            return
        await asyncio.sleep(_GAP)


async def _documents(connection: Connection, order_id: str, output: Output) -> None:
    async for now in _states(connection, order_id):
        if isinstance(now, str):
            typer.echo(f"orderfleet: {now}", err=True)
        else:
            print_document(now, output, stream=True)


async def _lines(connection: Connection, order_id: str) -> None:
    shown = ""
    async for now in _states(connection, order_id):
        if isinstance(now, str):
            typer.echo(f"orderfleet: {now}", err=True)
            continue
        line = _line(now)
        if line != shown:
            # The time of each change makes the same line another.
            typer.echo(f"{time_text(now.updated_at)}  {line}")
            shown = line


def _line(now: SourcedStatus) -> str:
    retries = " ".join(f"{step} {count}" for step, count in now.retries.items())
    parts = {
        "": now.step,
        "payment ": now.payment.status,
        "tracking ": next((one.tracking_number for one in reversed(now.shipments) if one.tracking_number), None),
        "retries ": retries,
        "canceled: ": now.cancel_reason,
        "last error: ": now.last_error,
    }
    return "  ".join(f"{name}{value}" for name, value in parts.items() if value)


async def _follow_live(connection: Connection, order_id: str) -> None:
    from rich.live import Live  # noqa: PLC0415 - for a terminal only
    from rich.text import Text  # noqa: PLC0415

    with Live(console=console(), refresh_per_second=4) as live:
        shown: RenderableType = ""
        trail: list[RecordedEvent] = []
        async for now in _states(connection, order_id):
            if isinstance(now, str):
                live.update(_below(shown, Text(now, "yellow")), refresh=True)
                continue
            with suppress(StoreUnavailable):
                trail = await connection.orders.events(now.order_id)
            shown = _below(status_table(now), events_table(trail[-_LAST_EVENTS:]))
            live.update(shown, refresh=True)


def _below(*parts: RenderableType) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 - for a terminal only

    spaced = [each for part in parts for each in (part, "")]
    return Group(*spaced[:-1])


def status(
    order_id: OrderId,
    *,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Go on until the order has ended.")] = False,
    output: OutputOption = TABLE,
) -> None:
    """Show where an order stands: the workflow's word, or the record's when it can't be asked."""
    if watching:
        follow(order_id, output)
        return
    found = ask(lambda connection: _live(connection, order_id))
    console().print(status_table(found)) if output is Output.TABLE else print_document(found, output)


def events(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = ask(lambda connection: _events(connection, order_id))
    console().print(events_table(found)) if output is Output.TABLE else print_document(found, output)


async def _live(connection: Connection, name: str) -> SourcedStatus:
    return await connection.orders.live(await named(connection, name))


async def _events(connection: Connection, name: str) -> list[RecordedEvent]:
    return await connection.orders.events(await named(connection, name))
