"""`orderfleet order`: start, see and change orders from a terminal.

Thin over the desk: it parses, prints and leaves the rest to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from orderfleet.cli.connection import desk, settings_here
from orderfleet.cli.exits import EXITS
from orderfleet.cli.show import Output, OutputOption, console, events_table, print_json, print_rows, print_status

if TYPE_CHECKING:
    from orderfleet.client import Answer, OrderDesk, Started
    from orderfleet.contracts.order import OrderInput
    from orderfleet.runtime.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Start, see and change orders. An order declared in Kubernetes is better changed with kubectl:"
    " an edit made here does not show in its spec.",
    epilog=EXITS,
)

OrderId = Annotated[str, typer.Argument(metavar="ID", help="The order's id.")]
_OUTPUT: Final = Output.TABLE
_T = TypeVar("_T")


def _example(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet order {line}" for line in lines)


@app.command(epilog=_example("start", "start ord-1 pay-1", "start -f deploy/samples/order.yaml -o json"))
def start(
    order_id: Annotated[str | None, typer.Argument(metavar="ID", help="Made and printed when left out.")] = None,
    payment_id: Annotated[str | None, typer.Argument(metavar="PAYMENT_ID", help="`pay-ID` when left out.")] = None,
    file: Annotated[
        Path | None, typer.Option("--filename", "-f", help="A manifest as kubectl takes it; - is standard input.")
    ] = None,
    output: OutputOption = _OUTPUT,
) -> None:
    """Start an order; the same order again is the same order, once.

    Without a file a sample item and address stand in, where ORDERFLEET_SAMPLE_ORDERS is on.
    """
    from orderfleet.api.intake import order_id_for, to_input  # noqa: PLC0415 - `--help` needs none of these

    settings = settings_here()
    orders = _requested(order_id, payment_id, file)
    inputs = [to_input(order, order_id_for(order, None), settings) for order in orders]

    async def each(there: OrderDesk) -> None:
        for order in inputs:
            _print_started(await there.start(order), order, output)

    _run(settings, each)


def _requested(order_id: str | None, payment_id: str | None, file: Path | None) -> list[Any]:
    from pydantic import ValidationError  # noqa: PLC0415

    from orderfleet.api.models import NewOrder  # noqa: PLC0415
    from orderfleet.cli.manifest import read_manifests  # noqa: PLC0415

    orders = read_manifests(file) if file else [NewOrder()]
    given = {"order_id": order_id, "payment_id": payment_id}
    named = {name: value for name, value in given.items() if value is not None}
    if named and len(orders) > 1:
        raise typer.BadParameter("an id can't be given for a file with more than one order")
    try:
        return [NewOrder.model_validate({**order.model_dump(exclude_unset=True), **named}) for order in orders]
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"{wrong['loc'][0]}: {wrong['msg']}") from None


def _print_started(started: Started, order: OrderInput, output: Output) -> None:
    if output is Output.JSON:
        print_json({**started.model_dump(mode="json"), "payment_id": order.payment_id})
        return
    print_rows(
        [
            ("order", started.order_id),
            ("payment", order.payment_id),
            ("workflow", started.workflow_id),
            ("", "started" if started.outcome == "started" else "was started before, by the same request"),
            ("next", f"orderfleet order approve {started.order_id}" if order.review.mode == "manual" else None),
        ]
    )


@app.command(epilog=_example("status ord-1", "status ord-1 -o json | jq -r .step"))
def status(order_id: OrderId, output: OutputOption = _OUTPUT) -> None:
    """Show where an order stands: the workflow's word, or the record's when it can't be asked."""
    found = _run(settings_here(), lambda there: there.live(order_id))
    print_json(found) if output is Output.JSON else print_status(found)


@app.command(epilog=_example("events ord-1", "events ord-1 -o json | jq '.[].kind'"))
def events(order_id: OrderId, output: OutputOption = _OUTPUT) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = _run(settings_here(), lambda there: there.events(order_id))
    print_json(found) if output is Output.JSON else console().print(events_table(found))


@app.command(epilog=_example("approve ord-1"))
def approve(order_id: OrderId, output: OutputOption = _OUTPUT) -> None:
    """Let an order go on to the charge."""
    _change(order_id, output, "approved", lambda there: there.approve(order_id))


@app.command(epilog=_example("cancel ord-1 --reason 'ordered twice'"))
def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="Why; stands in the record.")] = "canceled on request",
    output: OutputOption = _OUTPUT,
) -> None:
    """Cancel an order and undo it: what was charged is refunded. Refused once it is dispatched."""
    _change(order_id, output, "canceled", lambda there: there.cancel(order_id, reason))


@app.command(epilog=_example("update-address ord-1 --street '1 New Road' --city Leeds"))
def update_address(
    order_id: OrderId,
    *,
    street: Annotated[str | None, typer.Option()] = None,
    city: Annotated[str | None, typer.Option()] = None,
    state: Annotated[str | None, typer.Option()] = None,
    zip_code: Annotated[str | None, typer.Option("--zip")] = None,
    country: Annotated[str | None, typer.Option()] = None,
    output: OutputOption = _OUTPUT,
) -> None:
    """Send the package elsewhere; what is left out stays as it is. Refused once it is dispatched."""
    given = {"street": street, "city": city, "state": state, "zip": zip_code, "country": country}
    parts = {name: value for name, value in given.items() if value is not None}
    if not parts:
        raise typer.BadParameter("nothing to change; give --street, --city, --state, --zip or --country")

    async def change(there: OrderDesk) -> Answer:
        current = (await there.live(order_id)).address
        return await there.update_address(order_id, current.model_copy(update=parts))

    _change(order_id, output, "going to the new address", change)


def _change(order_id: str, output: Output, outcome: str, send: Callable[[OrderDesk], Awaitable[Answer]]) -> None:
    answer = _run(settings_here(), send)
    if output is Output.JSON:
        print_json({"order_id": order_id, "result": str(answer)})
    elif answer == "taken":
        typer.echo(f"order {order_id} is {outcome}")
    else:
        typer.echo(f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then")


def _run(settings: Settings, call: Callable[[OrderDesk], Awaitable[_T]]) -> _T:
    async def main() -> _T:
        async with desk(settings) as there:
            return await call(there)

    return asyncio.run(main())
