"""`orderfleet order status|query` and `events`: where an order stands, and how it came there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orderfleet.cli.order.session import TABLE, OrderId, ask, named
from orderfleet.cli.order.watch import follow
from orderfleet.cli.show import Output, OutputOption, console, events_table, print_document, status_table

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.client import SourcedStatus
    from orderfleet.contracts.record import RecordedEvent


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
    found = ask(lambda there: _live(there, order_id))
    console().print(status_table(found)) if output is Output.TABLE else print_document(found, output)


def events(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show the audit trail: every step, retry, signal and error."""
    found = ask(lambda there: _events(there, order_id))
    console().print(events_table(found)) if output is Output.TABLE else print_document(found, output)


async def _live(there: Reach, name: str) -> SourcedStatus:
    return await there.desk.live(await named(there, name))


async def _events(there: Reach, name: str) -> list[RecordedEvent]:
    return await there.desk.events(await named(there, name))
