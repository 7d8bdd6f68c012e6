"""`orderfleet order history`: what Temporal wrote down of an order's workflows, run by run, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orderfleet.cli.errors import Failed
from orderfleet.cli.order.session import TABLE, OrderId, ask, named
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orderfleet.cli.connection import Connection
    from orderfleet.services.inspection import RunHistory


def history(
    order_id: OrderId,
    output: OutputOption = TABLE,
    *,
    shipments: Annotated[
        bool,
        typer.Option("--shipments/--order-only", help="Also what the order's workflow started: shipments, refund."),
    ] = True,
) -> None:
    """Show what Temporal has of the order: every run of its workflow, then its shipments'.

    `events` is the audit trail, which outlives it.
    """
    found = ask(lambda connection: _read(connection, order_id), "reading the history")
    runs = found if shipments else [run for run in found if run.workflow_id == found[0].workflow_id]
    if output is not Output.TABLE:
        print_document(_lines(runs), output)
        return
    for part in _parts(runs):
        console().print(part)


async def _read(connection: Connection, order_id: str) -> list[RunHistory]:
    """The history.

    Raises:
        OrderNotFound: there is no such order.
        Failed: there is, and Temporal has forgotten it, as it does after its retention.
    """
    from orderfleet.services.errors import OrderNotFound  # noqa: PLC0415 - `--help` doesn't need it

    order_id = await named(connection, order_id)
    try:
        return await connection.inspector.history(order_id)
    except OrderNotFound:
        await connection.orders.recorded(order_id)
        raise Failed(
            f"Temporal has no history of order {order_id!r} any more; `orderfleet order events {order_id}` is its audit"
            " trail"
        ) from None


def _lines(runs: list[RunHistory]) -> list[dict[str, Any]]:
    """A flat list: programs filter it by workflow and run."""
    return [
        {"workflow_id": run.workflow_id, "run_id": run.run_id, **line.model_dump(mode="json")}
        for run in runs
        for line in run.events
    ]


def _parts(runs: list[RunHistory]) -> Iterator[RenderableType]:
    """A head and a table for each run."""
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    for number, run in enumerate(runs):
        same = [one.run_id for one in runs if one.workflow_id == run.workflow_id]
        which = f"run {same.index(run.run_id) + 1} of {len(same)}"
        gap = "\n" if number else ""
        yield Text(f"{gap}{run.workflow_id}  {which}  {run.run_id}", "bold")
        table = plain_table("ID", "TIME", "TYPE", "WHAT")
        for line in run.events:
            table.add_row(str(line.id), time_text(line.at), line.type, Text(line.what))
        yield table
