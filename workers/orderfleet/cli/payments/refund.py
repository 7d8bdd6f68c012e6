"""`orderfleet payments refund`: refund an amount or pieces of lines of one order."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from orderfleet.cli.order.session import Connection, OrderId, resolve_order_id, run_with_progress
from orderfleet.cli.output import Output, OutputOption, print_document
from orderfleet.domain.refunds import LineQuantity
from orderfleet.services.payment_views import RefundStatus
from orderfleet.services.refunds import RefundAnswer, refund_id_for


def _amount(text: str | Decimal) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not an amount; write it such as 4.50") from None


def _line(text: str | LineQuantity) -> LineQuantity:
    if isinstance(text, LineQuantity):
        return text
    line, separator, qty = text.rpartition("=")
    if not separator:
        return LineQuantity(line=text)
    if not line or not qty.isdecimal() or not int(qty):
        raise typer.BadParameter(f"{text!r} is not a line; write its id, or its id and how many pieces, such as tea=2")
    return LineQuantity(line=line, qty=int(qty))


def refund(
    order_id: OrderId,
    *,
    amount: Annotated[
        Decimal | None, typer.Option(parser=_amount, metavar="AMOUNT", help="How much, in the order's currency.")
    ] = None,
    line: Annotated[
        list[LineQuantity] | None,
        typer.Option(
            parser=_line,
            metavar="LINE[=QTY]",
            help="Pieces of a line instead of an amount: the item's id, or its number from 1; `shipping` for the"
            " shipping costs. Can be repeated.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; shown in the audit trail.")] = "",
    refund_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Makes a repeated command the same refund; default: a new one.")
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Refund a part of an order, while it runs or after its end.

    A line is worth its price with its shares of discounts, taxes and fees. All refunds together never exceed what was
    captured.
    """
    chosen = refund_id or refund_id_for(None)

    async def send(connection: Connection) -> tuple[str, RefundAnswer]:
        order = await resolve_order_id(connection, order_id)
        return order, await connection.refunds.refund(order, chosen, amount=amount, lines=line or (), reason=reason)

    order, answer = run_with_progress(send, f"waiting for the refund of {order_id}")
    if output is not Output.TABLE:
        document = {"order_id": order, "refund_id": chosen, "result": str(answer.result), "refund": answer.refund}
        print_document(document, output)
    elif answer.refund is None:
        typer.echo(
            f"no worker answered; when one runs, it decides about refund {chosen}:"
            f" `orderfleet payments show {order}` shows the result"
        )
    else:
        what = f"{answer.refund.amount} {answer.refund.currency} of order {order}"
        is_made = answer.refund.status is RefundStatus.REFUNDED
        typer.echo(f"{what} {'are refunded' if is_made else 'are being refunded'}; the refund is {chosen}")
