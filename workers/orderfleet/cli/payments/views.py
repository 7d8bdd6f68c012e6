"""`orderfleet payments list` and `show`: payments, newest first, and one payment with its ledger."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orderfleet.cli.order.session import Connection, OrderId, resolve_order_id, run_with_progress
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    parse_day,
    plain_table,
    print_document,
    rows_table,
    time_text,
)
from orderfleet.domain.status import PaymentStatus
from orderfleet.services.payment_views import PaymentSummary, PaymentWithLedger, RefundView


def list_payments(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of payments.")] = 20,
    status: Annotated[
        PaymentStatus | None, typer.Option(case_sensitive=False, help="Only payments with this status.")
    ] = None,
    day: Annotated[
        date | None,
        typer.Option(
            parser=parse_day, metavar="DAY", help="Only payments of orders that were started on this day (UTC)."
        ),
    ] = None,
    currency: Annotated[str | None, typer.Option(metavar="CODE", help="Only payments in this currency.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the payments in the order store, those of the newest orders first."""
    code = None if currency is None else currency.upper()

    async def read(connection: Connection) -> tuple[list[PaymentSummary], bool]:
        return await connection.payments.newest(limit, status=status, day=day, currency=code)

    found, more = run_with_progress(read, "reading the payments")
    if output is not Output.TABLE:
        print_document({"payments": found, "more": more}, output)
    elif not found:
        typer.echo("there are no such payments" if status or day or currency else "there are no payments yet")
    else:
        console().print(_table(found))
        typer.echo(f"there are more; use --limit {limit * 5} to see more") if more else None


def _table(payments: list[PaymentSummary]) -> Table:
    table = plain_table("ORDER", "PAYMENT", "STATUS", "AMOUNT", "CAPTURED", "REFUNDED", "REFUNDABLE", "", "ORDERED")
    for name in ("AMOUNT", "CAPTURED", "REFUNDED", "REFUNDABLE"):
        next(column for column in table.columns if column.header == name).justify = "right"
    for each in payments:
        amounts = (str(value) for value in (each.amount, each.captured, each.refunded, each.refundable))
        ordered = time_text(each.ordered_at)
        table.add_row(each.order_id, each.payment_id, str(each.status or ""), *amounts, each.currency, ordered)
    return table


def show(order_id: OrderId, output: OutputOption = Output.TABLE) -> None:
    """Show the payment of an order: its amounts, each movement of money, and its refunds."""

    async def read(connection: Connection) -> PaymentWithLedger:
        return await connection.payments.of_order(await resolve_order_id(connection, order_id))

    found = run_with_progress(read, "reading the payment")
    if output is not Output.TABLE:
        print_document(found, output)
        return
    console().print(_summary(found))
    if found.entries:
        console().print("")
        console().print(_entries(found))
    if found.refunds:
        console().print("")
        console().print(refunds_table(found.refunds))


def _summary(payment: PaymentWithLedger) -> Table:
    moved = {
        "authorized": payment.authorized,
        "captured": payment.captured,
        "refunded": payment.refunded,
        "charged back": payment.charged_back,
    }
    rows: list[tuple[str, object]] = [
        ("order", payment.order_id),
        ("payment", payment.payment_id),
        ("status", payment.status or "not charged"),
        ("amount", f"{payment.amount} {payment.currency}"),
        *((name, f"{amount} {payment.currency}" if amount else "") for name, amount in moved.items()),
        ("refundable", f"{payment.refundable} {payment.currency}"),
        ("capture", payment.capture),
    ]
    return rows_table(rows)


def _entries(payment: PaymentWithLedger) -> Table:
    table = plain_table("TIME", "ENTRY", "AMOUNT", "", "SOURCE", "REFERENCE", "KEY")
    table.columns[2].justify = "right"
    for each in payment.entries:
        kind = each.kind if each.counts else f"{each.kind} (contradicts another one)"
        reference = Text(each.reference or "")
        table.add_row(time_text(each.at), kind, str(each.amount), each.currency, each.source, reference, Text(each.key))
    return table


def refunds_table(refunds: tuple[RefundView, ...]) -> Table:
    """Return the table of refunds, oldest first."""
    table = plain_table("REFUND", "STATUS", "AMOUNT", "", "LINES", "REASON", "FAILURE", "REQUESTED")
    table.columns[2].justify = "right"
    for each in refunds:
        lines = ", ".join(f"{line.line} x {line.qty}" for line in each.lines)
        requested = time_text(each.created_at) if each.created_at else ""
        texts = (Text(lines), Text(each.reason), Text(each.failure))
        table.add_row(each.refund_id, each.status, str(each.amount), each.currency, *texts, requested)
    return table
