"""Runs one command on the stock, and what the commands share: who changes it, and how losses are printed."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from orderfleet.cli.order.session import local_settings, run_async
from orderfleet.cli.output import console, plain_table, progress
from orderfleet.domain.stock import CountResult
from orderfleet.services.stock import StockService
from orderfleet.store.pool import connect
from orderfleet.store.stock_admin import StockAdmin

_T = TypeVar("_T")

Sku = Annotated[str, typer.Argument(metavar="SKU", help="What it is, as in an order's items.")]
Location = Annotated[str, typer.Argument(metavar="LOCATION", help="Where it is.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown with the movement.")]


def run_stock(
    call: Callable[[StockService], Awaitable[_T]], text: str = "reading the stock", timeout: timedelta | None = None
) -> _T:
    """Connect to the order store and return the result of `call`; show progress if it takes long.

    Args:
        call: what to do with the stock.
        text: what the command waits for.
        timeout: of a statement; None: that of the settings.
    """
    settings = local_settings()
    limit = timeout or settings.database_timeout
    settings = settings.model_copy(update={"database_timeout": limit})

    async def main() -> _T:
        async with connect(settings, "cli") as database:
            return await call(StockService(StockAdmin(database), timeout=limit))

    with progress(text):
        return run_async(main())


def actor() -> str:
    """Who runs the command, for the movements."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # the account of a container may have no name
        return "cli"


def lost_text(result: CountResult) -> str:
    """What orders lost to a count, in one line; empty if none did."""
    if not result.lost:
        return ""
    pieces, orders = sum(each.qty for each in result.lost), len({each.owner for each in result.lost})
    return f"; {orders} orders lost {pieces} reserved pieces"


def print_lost(result: CountResult) -> None:
    """Print the pieces that orders lost to a count."""
    if not result.lost:
        return
    table: Table = plain_table("ORDER", "LINE", "SKU", "LOCATION", "PIECES", "WERE")
    for each in result.lost:
        texts = (Text(each.owner), Text(each.line), Text(each.sku), each.location)
        table.add_row(*texts, str(each.qty), each.state)
    console().print(table)
