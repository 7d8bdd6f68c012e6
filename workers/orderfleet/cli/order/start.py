"""`orderfleet order start`: an order from its ids alone, or from the manifests that kubectl takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orderfleet.cli import connection, progress
from orderfleet.cli.order.session import TABLE, run
from orderfleet.cli.show import Output, OutputOption, console, print_document, rows_table

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.client import Started
    from orderfleet.contracts.order import OrderInput


def start(
    order_id: Annotated[str | None, typer.Argument(metavar="ID", help="Made and printed when left out.")] = None,
    payment_id: Annotated[str | None, typer.Argument(metavar="PAYMENT_ID", help="`pay-ID` when left out.")] = None,
    file: Annotated[
        Path | None, typer.Option("--filename", "-f", help="A manifest as kubectl takes it; - is standard input.")
    ] = None,
    output: OutputOption = TABLE,
) -> None:
    """Start an order; started again with the same id and content it is still one order.

    Without a file a sample item and address stand in, where ORDERFLEET_SAMPLE_ORDERS is on.
    """
    from orderfleet.api.intake import order_id_for, to_input  # noqa: PLC0415 - `--help` needs none of these

    settings = connection.settings_here()
    orders = _requested(order_id, payment_id, file)
    inputs = [to_input(order, order_id_for(order, None), settings) for order in orders]
    several = len(inputs) if len(inputs) > 1 else None

    async def each(there: Reach) -> None:
        with progress.shown("starting", several) as done:
            for order in inputs:
                _print_started(await there.desk.start(order), order, output, stream=several is not None)
                done()

    run(each, settings)


def _requested(order_id: str | None, payment_id: str | None, file: Path | None) -> list[Any]:
    from pydantic import ValidationError  # noqa: PLC0415

    from orderfleet.api.models import NewOrder  # noqa: PLC0415
    from orderfleet.cli.manifest import read_manifests  # noqa: PLC0415
    from orderfleet.contracts.complaints import complaint  # noqa: PLC0415

    orders = read_manifests(file) if file else [NewOrder()]
    given = {"order_id": order_id, "payment_id": payment_id}
    named = {name: value for name, value in given.items() if value is not None}
    if named and len(orders) > 1:
        raise typer.BadParameter("an id can't be given for a file with more than one order")
    try:
        return [NewOrder.model_validate({**order.model_dump(exclude_unset=True), **named}) for order in orders]
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"{wrong['loc'][0]}: {complaint(wrong)}") from None


def _print_started(started: Started, order: OrderInput, output: Output, *, stream: bool) -> None:
    if output is not Output.TABLE:
        print_document({**started.model_dump(mode="json"), "payment_id": order.payment_id}, output, stream=stream)
        return
    new = started.outcome == "started"
    waits = new and order.review.mode == "manual" and not order.approved
    rows = (
        ("order", started.order_id),
        ("payment", order.payment_id),
        ("workflow", started.workflow_id),
        ("", "started" if new else "was started before, by the same request"),
        ("next", f"orderfleet order {'approve' if waits else 'status'} {started.order_id}"),
    )
    console().print(rows_table(rows))
