"""`orderfleet order list`: the recorded orders, newest first, a page at a time behind the scenes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import TABLE, ask, run
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    moment,
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

_DEFAULT: Final = 20
_PAGE: Final = 200
_GAP: Final = 1.0


def list_orders(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = _DEFAULT,
    step: Annotated[Step | None, typer.Option(help="Only orders at this step.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only orders of this customer.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="WHEN", help="Only orders started then or later: 24h for so long ago, or a time."
        ),
    ] = None,
    before: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="WHEN", help="Only orders started before then.")
    ] = None,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C, on a terminal.")] = False,
    output: OutputOption = TABLE,
) -> None:
    """List orders, the newest first, as the record has them."""
    from orderfleet.domain.listing import OrderFilter  # noqa: PLC0415 - `--help` doesn't need it

    wanted = OrderFilter(step=step, customer_email=customer, created_from=since, created_before=before)
    if watching:
        if output is not Output.TABLE or not console().is_terminal:
            raise UsageError("--watch of a list needs a terminal; `order watch ID -o json` follows one order")
        run(lambda connection: _live(connection, wanted, limit))
    found, more = ask(lambda connection: _read(connection, wanted, limit), "reading the orders")
    if output is not Output.TABLE:
        print_document({"orders": found, "more": more}, output)
    elif not found:
        filtered = wanted != OrderFilter()
        typer.echo("there are no such orders" if filtered else "there are no orders; `order start` makes one")
    else:
        console().print(_table(found))
        typer.echo(f"there are more; --limit {limit * 5} shows more of them") if more else None


async def _live(connection: Connection, wanted: OrderFilter, limit: int) -> None:
    """Show the list anew each second; what is away for a time leaves it as it is."""
    from rich.live import Live  # noqa: PLC0415 - for a terminal only

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            with suppress(StoreUnavailable):
                found, _ = await _read(connection, wanted, limit)
                live.update(_table(found), refresh=True)
            await asyncio.sleep(_GAP)


async def _read(connection: Connection, wanted: OrderFilter, limit: int) -> tuple[list[OrderStatus], bool]:
    """The orders, and whether there are more."""
    found: list[OrderStatus] = []
    place: Cursor | None = None
    while True:
        page: OrderPage = await connection.orders.page(wanted, after=place, limit=min(_PAGE, limit - len(found)))
        found += page.orders
        place = page.next
        if place is None or len(found) >= limit:
            return found, place is not None


def _table(orders: list[OrderStatus]) -> Table:
    table = plain_table("ORDER", "STEP", "PAYMENT", "AMOUNT", "CREATED", "ENDED", "REASON")
    for order in orders:
        table.add_row(*_row(order))
    return table


def _row(order: OrderStatus) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    payment = order.payment
    reason = order.cancel_reason or order.dispatch_failed_reason or (order.last_error if not order.ended else "") or ""
    return [
        order.order_id,
        step_text(order.step),
        str(payment.status or ""),
        f"{payment.amount} {payment.currency}",
        time_text(order.created_at),
        time_text(order.completed_at) if order.completed_at else "",
        Text(reason),
    ]
