"""`orderfleet payments retry`: capture the payment of a held order again."""

from __future__ import annotations

from typing import Annotated

import typer

from orderfleet.cli.order.session import Connection, OrderId, resolve_order_id, run_with_progress
from orderfleet.cli.output import Output, OutputOption, print_document
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change


def retry(
    order_id: OrderId,
    *,
    method: Annotated[
        str,
        typer.Option(
            metavar="TOKEN", help="Pay with this method from now on: the payment provider's token. Default: as before."
        ),
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Capture the payment of an order that is held, because its capture was refused or its outcome is unknown."""

    async def send(connection: Connection) -> tuple[str, ChangeResult]:
        order = await resolve_order_id(connection, order_id)
        return order, await connection.orders.change(order, Change.retry_payment(method))

    order, answer = run_with_progress(send, f"waiting for order {order_id}")
    if output is not Output.TABLE:
        print_document({"order_id": order, "result": str(answer)}, output)
    elif answer is ChangeResult.ACCEPTED:
        typer.echo(f"order {order} is capturing its payment again")
    else:
        typer.echo(f"no worker answered; order {order} captures its payment again once one runs, if it is still held")
