"""`orderfleet order history`: what Temporal wrote down of an order's workflow, event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orderfleet.cli.exits import Failed
from orderfleet.cli.order.session import TABLE, OrderId, ask
from orderfleet.cli.show import Output, OutputOption, console, plain_table, print_document, time_text

if TYPE_CHECKING:
    from rich.table import Table

    from orderfleet.cli.connection import Reach
    from orderfleet.client import HistoryLine


def history(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the history of the order's workflow in Temporal; `events` is the audit trail, which outlives it."""
    found = ask(lambda there: _read(there, order_id), "reading the history")
    console().print(_table(found)) if output is Output.TABLE else print_document(found, output)


async def _read(there: Reach, order_id: str) -> list[HistoryLine]:
    """The history.

    Raises:
        OrderNotFound: there is no such order.
        Failed: there is, and Temporal has forgotten it, as it does after its retention.
    """
    from orderfleet.client import OrderNotFound  # noqa: PLC0415 - `--help` doesn't need it

    try:
        return await there.inspector.history(order_id)
    except OrderNotFound:
        await there.desk.recorded(order_id)
        raise Failed(
            f"Temporal has no history of order {order_id!r} any more; `orderfleet order events {order_id}` is its audit"
            " trail"
        ) from None


def _table(lines: list[HistoryLine]) -> Table:
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    table = plain_table("ID", "TIME", "TYPE", "WHAT")
    for line in lines:
        table.add_row(str(line.id), time_text(line.at), line.type, Text(line.what))
    return table
