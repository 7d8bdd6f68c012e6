"""`orderfleet order status`, `events`, `history` and `watch`: one order's status and what happened to it.

`watch` polls the workflow, because a hanging activity attempt shows only in Temporal and sends no change. It
retries while Temporal or the order store is unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from orderfleet.cli.errors import Failed
from orderfleet.cli.order.session import TABLE, Connection, OrderId, resolve_order_id, run, run_with_progress
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    events_table,
    plain_table,
    print_document,
    status_table,
    time_text,
)
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedEvent
from orderfleet.services.errors import OrderNotFound, TemporalUnavailable
from orderfleet.services.inspection import RunHistory
from orderfleet.services.orders import SourcedStatus

_POLL_SECONDS: Final = 0.5
_LAST_EVENTS: Final = 12


def watch(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Follow an order until it has ended: a live view on a terminal, else a line for each change."""
    if output is not Output.TABLE:
        run(lambda connection: _documents(connection, order_id, output))
    elif console().is_terminal:
        run(lambda connection: _follow_live(connection, order_id))
    else:
        run(lambda connection: _lines(connection, order_id))


async def _states(connection: Connection, order_id: str) -> AsyncIterator[SourcedStatus | str]:
    """Yield the order's status at each change until it has ended, and a message while a service is unavailable.

    Raises:
        TemporalUnavailable, StoreUnavailable: the first read failed.
        OrderNotFound: there is no such order.
    """
    order_id = await resolve_order_id(connection, order_id)
    before: SourcedStatus | str = ""
    while True:
        try:
            now: SourcedStatus | str = await connection.orders.live(order_id)
        except (TemporalUnavailable, StoreUnavailable) as error:
            if not before:
                raise
            now = f"{error}; retrying"
        if now != before:
            yield now
            before = now
        if not isinstance(now, str) and now.ended:
            return
        await asyncio.sleep(_POLL_SECONDS)


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
            # `line` has no time: the time differs at each change, also if nothing else does.
            typer.echo(f"{time_text(now.updated_at)}  {line}")
            shown = line


def _line(now: SourcedStatus) -> str:
    retries = " ".join(f"{step} {count}" for step, count in now.retries.items())
    parts = {
        "": now.step,
        "payment ": now.payment.status,
        "tracking ": now.tracking_number,
        "retries ": retries,
        "canceled: ": now.cancel_reason,
        "last error: ": now.last_error,
    }
    return "  ".join(f"{name}{value}" for name, value in parts.items() if value)


async def _follow_live(connection: Connection, order_id: str) -> None:
    with Live(console=console(), refresh_per_second=4) as live:
        view: RenderableType = ""
        trail: list[RecordedEvent] = []
        async for now in _states(connection, order_id):
            if isinstance(now, str):
                live.update(_stacked(view, Text(now, "yellow")), refresh=True)
                continue
            with suppress(StoreUnavailable):
                trail = await connection.orders.events(now.order_id)
            view = _stacked(status_table(now), events_table(trail[-_LAST_EVENTS:]))
            live.update(view, refresh=True)


def _stacked(*parts: RenderableType) -> RenderableType:
    spaced = [each for part in parts for each in (part, "")]
    return Group(*spaced[:-1])


def status(
    order_id: OrderId,
    *,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Follow the order until it has ended.")] = False,
    output: OutputOption = TABLE,
) -> None:
    """Show an order's status, from its workflow, or from the order store if no worker answers."""
    if watching:
        watch(order_id, output)
        return
    found = run_with_progress(lambda connection: _live(connection, order_id))
    console().print(status_table(found)) if output is Output.TABLE else print_document(found, output)


def events(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = run_with_progress(lambda connection: _events(connection, order_id))
    console().print(events_table(found)) if output is Output.TABLE else print_document(found, output)


async def _live(connection: Connection, name: str) -> SourcedStatus:
    return await connection.orders.live(await resolve_order_id(connection, name))


async def _events(connection: Connection, name: str) -> list[RecordedEvent]:
    return await connection.orders.events(await resolve_order_id(connection, name))


def history(
    order_id: OrderId,
    output: OutputOption = TABLE,
    *,
    shipments: Annotated[
        bool,
        typer.Option(
            "--shipments/--order-only", help="Include the workflows that the order's started: shipments, refund."
        ),
    ] = True,
) -> None:
    """Show the order's Temporal history: every run of its workflow, then of its shipments' workflows.

    The audit trail (`events`) is kept after Temporal has deleted the history.
    """
    found = run_with_progress(lambda connection: _history(connection, order_id), "reading the history")
    runs = found if shipments else [run for run in found if run.workflow_id == found[0].workflow_id]
    if output is not Output.TABLE:
        print_document(_event_documents(runs), output)
        return
    for part in _tables(runs):
        console().print(part)


async def _history(connection: Connection, order_id: str) -> list[RunHistory]:
    """Return the runs of an order's workflows.

    Raises:
        OrderNotFound: there is no such order.
        Failed: Temporal has deleted the order's history after its retention.
    """
    order_id = await resolve_order_id(connection, order_id)
    try:
        return await connection.inspector.history(order_id)
    except OrderNotFound:
        await connection.orders.recorded(order_id)
        raise Failed(
            f"Temporal has no history of order {order_id!r} any more; `orderfleet order events {order_id}` is its audit"
            " trail"
        ) from None


def _event_documents(runs: list[RunHistory]) -> list[dict[str, Any]]:
    """Return one document for each event."""
    return [
        {"workflow_id": run.workflow_id, "run_id": run.run_id, **line.model_dump(mode="json")}
        for run in runs
        for line in run.events
    ]


def _tables(runs: list[RunHistory]) -> Iterator[RenderableType]:
    """Yield a heading and a table for each run."""
    for number, each in enumerate(runs):
        ids = [other.run_id for other in runs if other.workflow_id == each.workflow_id]
        which = f"run {ids.index(each.run_id) + 1} of {len(ids)}"
        gap = "\n" if number else ""
        yield Text(f"{gap}{each.workflow_id}  {which}  {each.run_id}", "bold")
        table = plain_table("ID", "TIME", "TYPE", "WHAT")
        for line in each.events:
            table.add_row(str(line.id), time_text(line.at), line.type, Text(line.what))
        yield table
