"""`orderfleet order list`: the recorded orders, newest first, a page at a time behind the scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.cli.order.session import TABLE, ask
from orderfleet.cli.show import Output, OutputOption, console, plain_table, print_document, step_text, time_text
from orderfleet.contracts.status import Step

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.contracts.listing import OrderFilter, OrderPage, Place
    from orderfleet.contracts.status import OrderStatus

_DEFAULT: Final = 20
_PAGE: Final = 200


def list_orders(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = _DEFAULT,
    step: Annotated[Step | None, typer.Option(help="Only orders at this step.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only orders of this customer.")] = None,
    output: OutputOption = TABLE,
) -> None:
    """List orders, the newest first, as the record has them."""
    from orderfleet.contracts.listing import OrderFilter  # noqa: PLC0415 - `--help` doesn't need it

    wanted = OrderFilter(step=step, customer_email=customer)
    found, more = ask(lambda there: _read(there, wanted, limit), "reading the orders")
    if output is not Output.TABLE:
        print_document({"orders": found, "more": more}, output)
    elif not found:
        typer.echo("there are no such orders" if step or customer else "there are no orders; `order start` makes one")
    else:
        _print(found)
        typer.echo(f"there are more; --limit {limit * 5} shows more of them") if more else None


async def _read(there: Reach, wanted: OrderFilter, limit: int) -> tuple[list[OrderStatus], bool]:
    """The orders, and whether there are more."""
    found: list[OrderStatus] = []
    place: Place | None = None
    while True:
        page: OrderPage = await there.desk.page(wanted, after=place, limit=min(_PAGE, limit - len(found)))
        found += page.orders
        place = page.next
        if place is None or len(found) >= limit:
            return found, place is not None


def _print(orders: list[OrderStatus]) -> None:
    table = plain_table("ORDER", "STEP", "PAYMENT", "AMOUNT", "CREATED", "ENDED", "REASON")
    for order in orders:
        table.add_row(*_row(order))
    console().print(table)


def _row(order: OrderStatus) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    payment = order.payment
    reason = order.cancel_reason or order.dispatch_failed_reason or (order.last_error if not order.ended else "") or ""
    return [
        order.order_id,
        step_text(order.step),
        str(payment.status or ""),
        f"{payment.amount} {payment.currency}",
        time_text(order.created_at),
        time_text(order.completed_at) if order.completed_at else "",
        Text(reason),
    ]
