"""`orderfleet order approve|cancel|update-address`: each waits for what the order's workflow says to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orderfleet.cli.order.session import NO_REASON, TABLE, City, Country, OrderId, State, Street, Zip, ask, named
from orderfleet.cli.show import Output, OutputOption, print_document

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.client import Answer


def approve(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Let an order go on to the charge."""
    _change(order_id, output, "approved", lambda there, order: there.desk.approve(order))


def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="Why; stands in the record.")] = NO_REASON,
    output: OutputOption = TABLE,
) -> None:
    """Cancel an order and undo it: what was charged is refunded. Refused once it is dispatched."""
    _change(order_id, output, "canceled", lambda there, order: there.desk.cancel(order, reason))


def update_address(
    order_id: OrderId,
    *,
    street: Street = None,
    city: City = None,
    state: State = None,
    zip_code: Zip = None,
    country: Country = None,
    output: OutputOption = TABLE,
) -> None:
    """Send the package elsewhere; what is left out stays as it is. Refused once it is dispatched."""
    given = {"street": street, "city": city, "state": state, "zip": zip_code, "country": country}
    parts = {name: value for name, value in given.items() if value is not None}
    if not parts:
        raise typer.BadParameter("nothing to change; give --street, --city, --state, --zip or --country")

    async def change(there: Reach, order: str) -> Answer:
        current = (await there.desk.live(order)).address
        return await there.desk.update_address(order, current.model_copy(update=parts))

    _change(order_id, output, "going to the new address", change)


def _change(name: str, output: Output, outcome: str, send: Callable[[Reach, str], Awaitable[Answer]]) -> None:
    async def change(there: Reach) -> tuple[str, Answer]:
        order = await named(there, name)
        return order, await send(there, order)

    order_id, answer = ask(change, f"waiting for what order {name} answers")
    if output is not Output.TABLE:
        print_document({"order_id": order_id, "result": str(answer)}, output)
    elif answer == "taken":
        typer.echo(f"order {order_id} is {outcome}")
    else:
        typer.echo(f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then")
