"""`orderfleet order status|query` and `events`: where an order stands, and how it came there."""

from __future__ import annotations

from typing import Annotated

import typer

from orderfleet.cli.order.session import TABLE, OrderId, ask
from orderfleet.cli.order.watch import follow
from orderfleet.cli.show import Output, OutputOption, console, events_table, print_document, status_table


def status(
    order_id: OrderId,
    *,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Go on until the order has ended.")] = False,
    output: OutputOption = TABLE,
) -> None:
    """Show where an order stands: the workflow's word, or the record's when it can't be asked."""
    if watching:
        follow(order_id, output)
        return
    found = ask(lambda there: there.desk.live(order_id))
    console().print(status_table(found)) if output is Output.TABLE else print_document(found, output)


def events(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = ask(lambda there: there.desk.events(order_id))
    console().print(events_table(found)) if output is Output.TABLE else print_document(found, output)
