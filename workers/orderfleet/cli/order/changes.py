"""`orderfleet order approve|cancel|update-address`: each waits for what the order's workflow says to it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import (
    NO_REASON,
    TABLE,
    City,
    Country,
    OrderId,
    State,
    Street,
    Zip,
    ask,
    named,
    order_ids,
)
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document, step_text, time_text

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.domain.order import Address
    from orderfleet.domain.status import OrderStatus
    from orderfleet.services.errors import ChangeResult


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

    async def change(there: Reach, order: str) -> ChangeResult:
        current = (await there.desk.live(order)).address
        return await there.desk.update_address(order, current.model_copy(update=parts))

    _change(order_id, output, "going to the new address", change)


def _change(name: str, output: Output, outcome: str, send: Callable[[Reach, str], Awaitable[ChangeResult]]) -> None:
    async def change(there: Reach) -> tuple[str, ChangeResult]:
        order = await named(there, name)
        return order, await send(there, order)

    order_id, answer = ask(change, f"waiting for what order {name} answers")
    if output is not Output.TABLE:
        print_document({"order_id": order_id, "result": str(answer)}, output)
    elif answer == "accepted":
        typer.echo(f"order {order_id} is {outcome}")
    else:
        typer.echo(f"no worker answered; order {order_id} will be {outcome} when one runs, unless it is too late then")


_OFFERED: Final = 10

_LOOKED_AT: Final = 100

_PARTS: Final = ("street", "city", "state", "zip", "country")


class Signal(StrEnum):
    """What an order can be told."""

    APPROVE = "approve"
    CANCEL = "cancel"
    UPDATE_ADDRESS = "update-address"
    CANCEL_PAYMENT = "cancel-payment"


def signal(
    order_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Asked for when left out.", autocompletion=order_ids)
    ] = None,
    which: Annotated[
        Signal | None, typer.Argument(metavar="SIGNAL", help="What to tell it; asked for when left out.")
    ] = None,
    *,
    reason: Annotated[str | None, typer.Option(help="Why an order is canceled.")] = None,
    street: Street = None,
    city: City = None,
    state: State = None,
    zip_code: Zip = None,
    country: Country = None,
    output: OutputOption = TABLE,
) -> None:
    """Signal an order; without arguments, choose which order and which signal.

    The signal is durable as soon as it is sent, also while no worker runs; `order events` shows whether
    the order took it.
    """
    asking = order_id is None or which is None
    if asking and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"give an order and a signal, as in `orderfleet order signal ord-1 {which or Signal.APPROVE}`")
    chosen = order_id or _which_order(ask(_running, "reading the orders"))
    what = which or _which_signal()
    if asking and what is Signal.CANCEL and reason is None:
        reason = typer.prompt("Why", default=NO_REASON)
    parts = dict(zip(_PARTS, (street, city, state, zip_code, country), strict=True))
    if asking and what is Signal.UPDATE_ADDRESS and not any(parts.values()):
        parts = _which_address(ask(lambda there: _address(there, chosen)))
    chosen = ask(lambda there: _send(there, chosen, what, reason or NO_REASON, parts))
    if output is Output.TABLE:
        typer.echo(f"order {chosen} was sent {what}; `orderfleet order events {chosen}` shows what became of it")
    else:
        print_document({"order_id": chosen, "signal": str(what), "result": "sent"}, output)


async def _send(there: Reach, name: str, which: Signal, reason: str, parts: dict[str, str | None]) -> str:
    """Send the signal; returns the order's id."""
    from orderfleet.domain import names  # noqa: PLC0415 - `--help` doesn't need it

    given = {name: value for name, value in parts.items() if value is not None}
    if which is Signal.UPDATE_ADDRESS and not given:
        raise UsageError("nothing to change; give --street, --city, --state, --zip or --country")
    order_id = await named(there, name)
    arguments: dict[Signal, tuple[str, list[Any]]] = {
        Signal.APPROVE: (names.APPROVE, []),
        Signal.CANCEL: (names.CANCEL_ORDER, [reason]),
        Signal.CANCEL_PAYMENT: (names.CANCEL_PAYMENT, [reason]),
    }
    if which is Signal.UPDATE_ADDRESS:
        address = (await _address(there, order_id)).model_copy(update=given)
        arguments[which] = (names.UPDATE_ADDRESS, [address])
    signal_name, values = arguments[which]
    await there.desk.signal(order_id, signal_name, values)
    return order_id


async def _running(there: Reach) -> list[OrderStatus]:
    """The newest orders that haven't ended."""
    from orderfleet.domain.listing import OrderFilter  # noqa: PLC0415 - `--help` doesn't need it

    page = await there.desk.page(OrderFilter(), limit=_LOOKED_AT)
    return [order for order in page.orders if not order.ended][:_OFFERED]


async def _address(there: Reach, name: str) -> Address:
    return (await there.desk.live(await named(there, name))).address


def _which_order(running: Sequence[OrderStatus]) -> str:
    if not running:
        return str(typer.prompt("Which order"))
    table = plain_table("", "ORDER", "STEP", "CREATED")
    for number, order in enumerate(running, start=1):
        table.add_row(str(number), order.order_id, step_text(order.step), time_text(order.created_at))
    console().print(table)
    given = str(typer.prompt("Which order (a number or an id)", default="1"))
    # An order id may be a number too; one that is offered by its place is meant first.
    by_place = {str(number): order.order_id for number, order in enumerate(running, start=1)}
    return by_place.get(given, given)


def _which_signal() -> Signal:
    for number, each in enumerate(Signal, start=1):
        typer.echo(f"{number}  {each}")
    by_place = {str(number): each for number, each in enumerate(Signal, start=1)}
    while True:
        given = str(typer.prompt("Which signal", default="1"))
        if given in by_place:
            return by_place[given]
        if given in list(Signal):
            return Signal(given)
        typer.echo(f"there is no {given}; give a number or a name of the list")


def _which_address(current: Address) -> dict[str, str | None]:
    before = current.model_dump()
    return {part: str(typer.prompt(part.capitalize(), default=before[part])) for part in _PARTS}
