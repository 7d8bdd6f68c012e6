"""`orderfleet order approve`, `cancel`, `update-address` and `signal`: change one order.

`signal` returns once Temporal has the signal; the others wait for the workflow's answer.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.cli.address_options import ADDRESS_OPTIONS, NOTHING_TO_CHANGE, with_address_options
from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import (
    NO_REASON,
    TABLE,
    OrderId,
    complete_order_id,
    resolve_order_id,
    run_with_progress,
)
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, step_text, time_text

if TYPE_CHECKING:
    from orderfleet.cli.connection import Connection
    from orderfleet.domain.order import Address
    from orderfleet.domain.status import OrderStatus
    from orderfleet.services.errors import ChangeResult


def approve(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Approve an order that waits for review; it is charged next."""
    from orderfleet.services.changes import Change  # noqa: PLC0415 - `--help` needs none

    _change(order_id, output, "approved", lambda connection, order: connection.orders.change(order, Change.approve()))


def cancel(
    order_id: OrderId,
    reason: Annotated[str, typer.Option(help="Why; recorded with the order.")] = NO_REASON,
    output: OutputOption = TABLE,
) -> None:
    """Cancel an order and refund what was charged. Rejected once it is dispatched."""
    from orderfleet.services.changes import Change  # noqa: PLC0415 - `--help` needs none

    _change(
        order_id, output, "canceled", lambda connection, order: connection.orders.change(order, Change.cancel(reason))
    )


@with_address_options
def update_address(
    order_id: OrderId,
    *,
    address: dict[str, str],
    output: OutputOption = TABLE,
) -> None:
    """Send the package to another address; parts left out stay as they are. Rejected once it is dispatched."""
    if not address:
        raise typer.BadParameter(NOTHING_TO_CHANGE)

    from orderfleet.services.changes import Change  # noqa: PLC0415 - `--help` needs none

    async def change(connection: Connection, order: str) -> ChangeResult:
        current = (await connection.orders.live(order)).address
        return await connection.orders.change(order, Change.update_address(_changed(current, address)))

    _change(order_id, output, "going to the new address", change)


def _change(
    name: str, output: Output, outcome: str, send: Callable[[Connection, str], Awaitable[ChangeResult]]
) -> None:
    async def change(connection: Connection) -> tuple[str, ChangeResult]:
        order = await resolve_order_id(connection, name)
        return order, await send(connection, order)

    order_id, answer = run_with_progress(change, f"waiting for order {name}")
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
    output: OutputOption = TABLE,
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
    from orderfleet.domain import names  # noqa: PLC0415 - `--help` doesn't need it

    if which is Signal.UPDATE_ADDRESS and not changed:
        raise UsageError(NOTHING_TO_CHANGE)
    order_id = await resolve_order_id(connection, name)
    arguments: dict[Signal, tuple[str, list[Any]]] = {
        Signal.APPROVE: (names.APPROVE, []),
        Signal.CANCEL: (names.CANCEL_ORDER, [reason]),
        Signal.CANCEL_PAYMENT: (names.CANCEL_PAYMENT, [reason]),
    }
    if which is Signal.UPDATE_ADDRESS:
        address = _changed(await _address(connection, order_id), changed)
        arguments[which] = (names.UPDATE_ADDRESS, [address])
    signal_name, values = arguments[which]
    await connection.orders.signal(order_id, signal_name, values)
    return order_id


async def _running(connection: Connection) -> list[OrderStatus]:
    """Return the newest orders that haven't ended."""
    from orderfleet.domain.status import OrderFilter  # noqa: PLC0415 - `--help` doesn't need it

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


def _changed(current: Address, parts: Mapping[str, str]) -> Address:
    """The address with some parts changed.

    Raises:
        UsageError: a part is too long.
    """
    from orderfleet.domain.inputs import InputRejected, read  # noqa: PLC0415 - `--help` needs none

    try:
        return read(type(current), {**current.model_dump(), **parts})
    except InputRejected as rejected:
        raise UsageError(str(rejected)) from None


def _which_address(current: Address) -> dict[str, str]:
    before = current.model_dump()
    return {field: str(typer.prompt(field.capitalize(), default=before[field])) for field in ADDRESS_OPTIONS.values()}
