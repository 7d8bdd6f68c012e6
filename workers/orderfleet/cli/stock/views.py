"""`orderfleet stock list` and `movements`: what is in stock, and every change of it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, time_text
from orderfleet.cli.stock.session import run_stock
from orderfleet.domain.stock import LevelPosition, StockFilter, StockLevel, StockMovement
from orderfleet.services.stock import StockService

_PAGE = 200

SkuOption = Annotated[str | None, typer.Option("--sku", metavar="SKU", help="Only this SKU.")]
LocationOption = Annotated[str | None, typer.Option("--location", metavar="LOCATION", help="Only this location.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")]


def list_levels(
    *, sku: SkuOption = None, location: LocationOption = None, limit: Limit = 50, output: OutputOption = Output.TABLE
) -> None:
    """List what is in stock, by SKU and location."""
    wanted = StockFilter(sku=sku, location=location)

    async def read(stock: StockService) -> tuple[list[StockLevel], bool]:
        found: list[StockLevel] = []
        after: LevelPosition | None = None
        while True:
            page, after = await stock.levels(wanted, after=after, limit=min(_PAGE, limit - len(found)))
            found += page
            if after is None or len(found) >= limit:
                return found, after is not None

    found, more = run_stock(read)
    if output is not Output.TABLE:
        print_document({"levels": found, "more": more}, output)
        return
    if not found:
        typer.echo("nothing is in stock yet; see `orderfleet stock import --help`" if not (sku or location) else "none")
        return
    table = plain_table("SKU", "LOCATION", "ON HAND", "RESERVED", "AVAILABLE", "CHANGED")
    for column in table.columns[2:5]:
        column.justify = "right"
    for each in found:
        counts = (str(value) for value in (each.on_hand, each.reserved, each.available))
        name = each.location if each.active else f"{each.location} (off)"
        table.add_row(Text(each.sku), name, *counts, time_text(each.updated_at)[:-4])
    console().print(table)
    _print_more(more, limit)


def movements(
    *,
    sku: SkuOption = None,
    location: LocationOption = None,
    order_id: Annotated[str | None, typer.Option("--order", metavar="ID", help="Only those of this order.")] = None,
    limit: Limit = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List every change of what is on hand, newest first: counts, adjustments, dispatches, restocks."""
    wanted = StockFilter(sku=sku, location=location, owner=order_id)

    async def read(stock: StockService) -> tuple[list[StockMovement], bool]:
        found: list[StockMovement] = []
        before: int | None = None
        while True:
            page, before = await stock.movements(wanted, before=before, limit=min(_PAGE, limit - len(found)))
            found += page
            if before is None or len(found) >= limit:
                return found, before is not None

    found, more = run_stock(read, "reading the movements")
    if output is not Output.TABLE:
        print_document({"movements": found, "more": more}, output)
        return
    if not found:
        typer.echo("there are no such movements" if sku or location or order_id else "there are no movements yet")
        return
    table = plain_table("TIME", "SKU", "LOCATION", "MOVEMENT", "PIECES", "ON HAND", "ORDER", "ACTOR", "REASON")
    for column in table.columns[4:6]:
        column.justify = "right"
    for each in found:
        counts = (f"{each.qty:+}", str(each.on_hand))
        texts = (Text(text) for text in (each.owner, each.actor, each.reason))
        table.add_row(time_text(each.at)[:-4], Text(each.sku), each.location, each.kind, *counts, *texts)
    console().print(table)
    _print_more(more, limit)


def _print_more(more: bool, limit: int) -> None:
    if more:
        typer.echo(f"there are more; use --limit {limit * 5} to see more")
