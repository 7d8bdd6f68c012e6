"""`orderfleet order history`: the events in the Temporal histories of an order's workflows, by run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orderfleet.cli.errors import Failed
from orderfleet.cli.order.session import TABLE, OrderId, resolve_order_id, run_with_progress
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
        typer.Option(
            "--shipments/--order-only", help="Include the workflows that the order's started: shipments, refund."
        ),
    ] = True,
) -> None:
    """Show the order's Temporal history: every run of its workflow, then of its shipments' workflows.

    The audit trail (`events`) is kept after Temporal has deleted the history.
    """
    found = run_with_progress(lambda connection: _read(connection, order_id), "reading the history")
    runs = found if shipments else [run for run in found if run.workflow_id == found[0].workflow_id]
    if output is not Output.TABLE:
        print_document(_lines(runs), output)
        return
    for part in _parts(runs):
        console().print(part)


async def _read(connection: Connection, order_id: str) -> list[RunHistory]:
    """Return the runs of an order's workflows.

    Raises:
        OrderNotFound: there is no such order.
        Failed: Temporal has deleted the order's history after its retention.
    """
    from orderfleet.services.errors import OrderNotFound  # noqa: PLC0415 - `--help` doesn't need it

    order_id = await resolve_order_id(connection, order_id)
    try:
        return await connection.inspector.history(order_id)
    except OrderNotFound:
        await connection.orders.recorded(order_id)
        raise Failed(
            f"Temporal has no history of order {order_id!r} any more; `orderfleet order events {order_id}` is its audit"
            " trail"
        ) from None


def _lines(runs: list[RunHistory]) -> list[dict[str, Any]]:
    """Return one document for each event."""
    return [
        {"workflow_id": run.workflow_id, "run_id": run.run_id, **line.model_dump(mode="json")}
        for run in runs
        for line in run.events
    ]


def _parts(runs: list[RunHistory]) -> Iterator[RenderableType]:
    """Yield a heading and a table for each run."""
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    for number, run in enumerate(runs):
        ids = [each.run_id for each in runs if each.workflow_id == run.workflow_id]
        which = f"run {ids.index(run.run_id) + 1} of {len(ids)}"
        gap = "\n" if number else ""
        yield Text(f"{gap}{run.workflow_id}  {which}  {run.run_id}", "bold")
        table = plain_table("ID", "TIME", "TYPE", "WHAT")
        for line in run.events:
            table.add_row(str(line.id), time_text(line.at), line.type, Text(line.what))
        yield table
