"""`orderfleet order approve`, `cancel`, `update-address` and `signal`: change one order.

`signal` returns once Temporal has the signal; the others wait for the workflow's answer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer

from orderfleet.cli.address_options import ADDRESS_FIELDS, NOTHING_TO_CHANGE, with_address_options
from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import (
    NO_REASON,
    Connection,
    OrderId,
    complete_order_id,
    resolve_order_id,
    run_with_progress,
)
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, step_text, time_text
from orderfleet.domain.inputs import InputRejected, read
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderFilter, OrderStatus
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change


def approve(order_id: OrderId, output: OutputOption = Output.TABLE) -> None:
    """Approve an order that waits for review; it is charged next."""
    _change(order_id, output, "approved", Change.approve())


def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="Why; recorded with the order.")] = NO_REASON,
    output: OutputOption = Output.TABLE,
) -> None:
    """Cancel an order and refund what was charged. Rejected once it is dispatched."""
    _change(order_id, output, "canceled", Change.cancel(reason))


@with_address_options
def update_address(
    order_id: OrderId,
    *,
    address: dict[str, str],
    output: OutputOption = Output.TABLE,
) -> None:
    """Send the package to another address; parts left out stay as they are. Rejected once it is dispatched."""
    if not address:
        raise typer.BadParameter(NOTHING_TO_CHANGE)
    _change(order_id, output, "going to the new address", address)


def _change(name: str, output: Output, outcome: str, what: Change | Mapping[str, str]) -> None:
    """Change an order and print the result; `what` is a change, or the parts of the address to change."""

    async def send(connection: Connection) -> tuple[str, ChangeResult]:
        order = await resolve_order_id(connection, name)
        change = what if isinstance(what, Change) else await _address_change(connection, order, what)
        return order, await connection.orders.change(order, change)

    order_id, answer = run_with_progress(send, f"waiting for order {name}")
    if output is not Output.TABLE:
        print_document({"order_id": order_id, "result": str(answer)}, output)
    elif answer == "accepted":
        typer.echo(f"order {order_id} is {outcome}")
    else:
        typer.echo(
            f"no worker answered; order {order_id} will be {outcome} once one runs, unless it is dispatched before"
        )


_CHOICES: Final = 10
"""Number of orders to choose from."""

_PAGE: Final = 100
"""Number of newest orders that are read to find those."""


class Signal(StrEnum):
    """Signals that an order takes."""

    APPROVE = "approve"
    CANCEL = "cancel"
    UPDATE_ADDRESS = "update-address"
    CANCEL_PAYMENT = "cancel-payment"


@with_address_options
def signal(
    order_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="If left out, choose from a list.", autocompletion=complete_order_id),
    ] = None,
    which: Annotated[Signal | None, typer.Argument(metavar="SIGNAL", help="If left out, choose from a list.")] = None,
    *,
    reason: Annotated[str | None, typer.Option(help="Why an order is canceled.")] = None,
    address: dict[str, str],
    output: OutputOption = Output.TABLE,
) -> None:
    """Signal an order; without arguments, choose which order and which signal.

    The signal is durable once it is sent, even if no worker runs; `order events` shows whether the order accepted it.
    """
    interactive = order_id is None or which is None
    if interactive and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"give an order and a signal, as in `orderfleet order signal ord-1 {which or Signal.APPROVE}`")
    chosen = order_id or _which_order(run_with_progress(_running, "reading the orders"))
    what = which or _which_signal()
    if interactive and what is Signal.CANCEL and reason is None:
        reason = typer.prompt("Why", default=NO_REASON)
    if interactive and what is Signal.UPDATE_ADDRESS and not address:
        address = _which_address(run_with_progress(lambda connection: _address(connection, chosen)))
    chosen = run_with_progress(lambda connection: _send(connection, chosen, what, reason or NO_REASON, address))
    if output is Output.TABLE:
        typer.echo(f"order {chosen} was sent {what}; `orderfleet order events {chosen}` shows the result")
    else:
        print_document({"order_id": chosen, "signal": str(what), "result": "sent"}, output)


async def _send(connection: Connection, name: str, which: Signal, reason: str, changed: dict[str, str]) -> str:
    """Send the signal and return the order's id.

    Raises:
        UsageError: the signal is an address without any part.
    """
    if which is Signal.UPDATE_ADDRESS and not changed:
        raise UsageError(NOTHING_TO_CHANGE)
    order_id = await resolve_order_id(connection, name)
    changes = {
        Signal.APPROVE: Change.approve(),
        Signal.CANCEL: Change.cancel(reason),
        Signal.CANCEL_PAYMENT: Change.cancel_payment(reason),
    }
    change = changes.get(which) or await _address_change(connection, order_id, changed)
    await connection.orders.signal(order_id, change.name, change.args)
    return order_id


async def _running(connection: Connection) -> list[OrderStatus]:
    """Return the newest orders that haven't ended."""
    page = await connection.orders.page(OrderFilter(), limit=_PAGE)
    return [order for order in page.orders if not order.ended][:_CHOICES]


async def _address(connection: Connection, name: str) -> Address:
    return (await connection.orders.live(await resolve_order_id(connection, name))).address


def _which_order(running: Sequence[OrderStatus]) -> str:
    if not running:
        return str(typer.prompt("Which order"))
    table = plain_table("", "ORDER", "STEP", "CREATED")
    for number, order in enumerate(running, start=1):
        table.add_row(str(number), order.order_id, step_text(order.step), time_text(order.created_at))
    console().print(table)
    answer = str(typer.prompt("Which order (a number or an id)", default="1"))
    # An order id may be a number too; a number of the list takes precedence.
    by_number = {str(number): order.order_id for number, order in enumerate(running, start=1)}
    return by_number.get(answer, answer)


def _which_signal() -> Signal:
    by_number = {str(number): each for number, each in enumerate(Signal, start=1)}
    for number, each in by_number.items():
        typer.echo(f"{number}  {each}")
    while True:
        answer = str(typer.prompt("Which signal", default="1"))
        if answer in by_number:
            return by_number[answer]
        if answer in list(Signal):
            return Signal(answer)
        typer.echo(f"there is no signal {answer}; enter a number or a name of the list")


async def _address_change(connection: Connection, order_id: str, parts: Mapping[str, str]) -> Change:
    """The change to the order's address with some parts changed.

    Raises:
        UsageError: a part is too long.
    """
    current = (await connection.orders.live(order_id)).address
    try:
        return Change.update_address(read(Address, {**current.model_dump(), **parts}))
    except InputRejected as rejected:
        raise UsageError(str(rejected)) from None


def _which_address(current: Address) -> dict[str, str]:
    before = current.model_dump()
    return {field: str(typer.prompt(field.capitalize(), default=before[field])) for field in ADDRESS_FIELDS}
