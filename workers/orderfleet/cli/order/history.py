"""`orderfleet order history`: what Temporal wrote down of an order's workflow, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderfleet.cli.order.session import TABLE, OrderId, ask
from orderfleet.cli.show import Output, OutputOption, console, plain_table, print_document, time_text

if TYPE_CHECKING:
    from rich.table import Table

    from orderfleet.client import HistoryLine


def history(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the history of the order's workflow in Temporal; `events` is the audit trail, which outlives it."""
    found = ask(lambda there: there.inspector.history(order_id), "reading the history")
    console().print(_table(found)) if output is Output.TABLE else print_document(found, output)


def _table(lines: list[HistoryLine]) -> Table:
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    table = plain_table("ID", "TIME", "TYPE", "WHAT")
    for line in lines:
        table.add_row(str(line.id), time_text(line.at), line.type, Text(line.what))
    return table
