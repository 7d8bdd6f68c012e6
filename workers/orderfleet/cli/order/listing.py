"""`orderfleet order list`: the orders in the order store, newest first."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import TABLE, run, run_with_progress
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    parse_time,
    plain_table,
    print_document,
    step_text,
    time_text,
)
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.status import Step

if TYPE_CHECKING:
    from rich.table import Table

    from orderfleet.cli.connection import Connection
    from orderfleet.domain.listing import Cursor, OrderFilter, OrderPage
    from orderfleet.domain.status import OrderStatus

_DEFAULT_LIMIT: Final = 20
_PAGE: Final = 200
_REFRESH_SECONDS: Final = 1.0


def list_orders(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of orders.")] = _DEFAULT_LIMIT,
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
    output: OutputOption = TABLE,
) -> None:
    """List the orders in the order store, newest first."""
    from orderfleet.domain.listing import OrderFilter  # noqa: PLC0415 - `--help` doesn't need it

    wanted = OrderFilter(
        step=step, customer_email=customer, reference=reference, created_from=since, created_before=before
    )
    if watching:
        if output is not Output.TABLE or not console().is_terminal:
            raise UsageError("--watch of a list needs a terminal; use `order watch ID -o json` to follow one order")
        run(lambda connection: _live(connection, wanted, limit))
    found, more = run_with_progress(lambda connection: _read(connection, wanted, limit), "reading the orders")
    if output is not Output.TABLE:
        print_document({"orders": found, "more": more}, output)
    elif not found:
        filtered = wanted != OrderFilter()
        typer.echo("there are no such orders" if filtered else "there are no orders; `order start` starts one")
    else:
        console().print(_table(found))
        typer.echo(f"there are more; use --limit {limit * 5} to see more") if more else None


async def _live(connection: Connection, wanted: OrderFilter, limit: int) -> None:
    """Refresh the list every second; keep the last one while the order store is unavailable."""
    from rich.live import Live  # noqa: PLC0415 - for a terminal only

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            with suppress(StoreUnavailable):
                found, _ = await _read(connection, wanted, limit)
                live.update(_table(found), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _read(connection: Connection, wanted: OrderFilter, limit: int) -> tuple[list[OrderStatus], bool]:
    """Return the orders, and whether there are more."""
    found: list[OrderStatus] = []
    cursor: Cursor | None = None
    while True:
        page: OrderPage = await connection.orders.page(wanted, after=cursor, limit=min(_PAGE, limit - len(found)))
        found += page.orders
        cursor = page.next
        if cursor is None or len(found) >= limit:
            return found, cursor is not None


def _table(orders: list[OrderStatus]) -> Table:
    table = plain_table("ORDER", "REFERENCE", "STEP", "PAYMENT", "AMOUNT", "CREATED", "ENDED", "REASON")
    for order in orders:
        table.add_row(*_row(order))
    return table


def _row(order: OrderStatus) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    payment = order.payment
    reason = order.cancel_reason or order.dispatch_failed_reason or (order.last_error if not order.ended else "") or ""
    return [
        order.order_id,
        Text(order.reference),
        step_text(order.step),
        str(payment.status or ""),
        f"{payment.amount} {payment.currency}",
        time_text(order.created_at),
        time_text(order.completed_at) if order.completed_at else "",
        Text(reason),
    ]
