"""`orderfleet order status`, `events`, `history`, `watch`: one order and what happened to it; and `list`, newest first.

`watch` polls the workflow, because a hanging activity attempt shows only in Temporal and sends no change. It
retries while Temporal or the order store is unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orderfleet.cli.errors import Failed, UsageError
from orderfleet.cli.order.session import Connection, OrderId, resolve_order_id, run, run_with_progress
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    events_table,
    parse_time,
    plain_table,
    print_document,
    status_table,
    step_text,
    time_text,
)
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedEvent
from orderfleet.domain.status import Cursor, OrderFilter, OrderStatus, Step
from orderfleet.services.errors import OrderNotFound, SourcedStatus, TemporalUnavailable
from orderfleet.services.inspection import RunHistory

_POLL_SECONDS: Final = 0.5
_LAST_EVENTS: Final = 12
_PAGE: Final = 200
_REFRESH_SECONDS: Final = 1.0


def watch(order_id: OrderId, output: OutputOption = Output.TABLE) -> None:
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
        "held: ": now.hold and now.hold.name,
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
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an order's status, from its workflow, or from the order store if no worker answers."""
    if watching:
        watch(order_id, output)
        return
    found = run_with_progress(lambda connection: _live(connection, order_id))
    console().print(status_table(found)) if output is Output.TABLE else print_document(found, output)


def events(order_id: OrderId, output: OutputOption = Output.TABLE) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = run_with_progress(lambda connection: _events(connection, order_id))
    console().print(events_table(found)) if output is Output.TABLE else print_document(found, output)


async def _live(connection: Connection, name: str) -> SourcedStatus:
    return await connection.orders.live(await resolve_order_id(connection, name))


async def _events(connection: Connection, name: str) -> list[RecordedEvent]:
    return await connection.orders.events(await resolve_order_id(connection, name))


def history(
    order_id: OrderId,
    output: OutputOption = Output.TABLE,
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


def list_orders(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of orders.")] = 20,
    step: Annotated[Step | None, typer.Option(help="Only orders at this step.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only orders of this customer.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only orders with this reference of the shop.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_time,
            metavar="WHEN",
            help="Only orders started at or after this time, or in the last 24h, 30m, …",
        ),
    ] = None,
    before: Annotated[
        datetime | None, typer.Option(parser=parse_time, metavar="WHEN", help="Only orders started before this time.")
    ] = None,
    watching: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh the list until Ctrl-C; needs a terminal.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the orders in the order store, newest first."""
    wanted = OrderFilter(
        step=step, customer_email=customer, reference=reference, created_from=since, created_before=before
    )
    if watching:
        if output is not Output.TABLE or not console().is_terminal:
            raise UsageError("--watch of a list needs a terminal; use `order watch ID -o json` to follow one order")
        run(lambda connection: _refresh(connection, wanted, limit))
    found, more = run_with_progress(lambda connection: _read_orders(connection, wanted, limit), "reading the orders")
    if output is not Output.TABLE:
        print_document({"orders": found, "more": more}, output)
    elif not found:
        filtered = wanted != OrderFilter()
        typer.echo("there are no such orders" if filtered else "there are no orders; `order start` starts one")
    else:
        console().print(_orders_table(found))
        typer.echo(f"there are more; use --limit {limit * 5} to see more") if more else None


async def _refresh(connection: Connection, wanted: OrderFilter, limit: int) -> None:
    """Refresh the list every second; keep the last one while the order store is unavailable."""
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            with suppress(StoreUnavailable):
                found, _ = await _read_orders(connection, wanted, limit)
                live.update(_orders_table(found), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _read_orders(connection: Connection, wanted: OrderFilter, limit: int) -> tuple[list[OrderStatus], bool]:
    """Return the orders, and whether there are more."""
    found: list[OrderStatus] = []
    cursor: Cursor | None = None
    while True:
        page = await connection.orders.page(wanted, after=cursor, limit=min(_PAGE, limit - len(found)))
        found += page.orders
        cursor = page.next
        if cursor is None or len(found) >= limit:
            return found, cursor is not None


def _orders_table(orders: list[OrderStatus]) -> Table:
    table = plain_table("ORDER", "REFERENCE", "STEP", "PAYMENT", "AMOUNT", "CREATED", "ENDED", "REASON")
    for order in orders:
        payment = order.payment
        reason = order.cancel_reason or order.dispatch_failed_reason or ("" if order.ended else order.last_error)
        table.add_row(
            order.order_id,
            Text(order.reference),
            step_text(order.step),
            str(payment.status or ""),
            f"{payment.amount} {payment.currency}",
            time_text(order.created_at),
            time_text(order.completed_at) if order.completed_at else "",
            Text(reason or ""),
        )
    return table
