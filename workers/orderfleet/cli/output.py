"""What the command line prints: tables for people, JSON and YAML for programs, and progress on a terminal.

It also parses times and durations of options.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orderfleet.domain.durations import parse_duration

if TYPE_CHECKING:
    from orderfleet.domain.events import RecordedEvent
    from orderfleet.domain.status import OrderStatus
    from orderfleet.services.errors import SourcedStatus


class Output(StrEnum):
    """Format of a command's output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def examples(command: str, *lines: str) -> str:
    """Examples below the help of a subcommand.

    Args:
        command: that each example begins with, such as `orderfleet order`.
        lines: the rest of each example.
    """
    return "Examples:\n\n" + "\n\n".join(f"  $ {command} {line}" for line in lines)


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON or YAML for programs.")]


_PIPE_WIDTH: Final = 200

_COLORS: Final = {"shipped": "green", "delivered": "green", "failed": "red", "canceled": "yellow"}


def console() -> Console:
    """Return a rich console on standard output."""
    found = Console(highlight=False)
    # A pipe has no width, and a wrapped line breaks grep.
    return found if found.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


Document = Any
"""A model, a list of models, or plain objects."""


def print_document(value: Document, output: Output, *, stream: bool = False) -> None:
    """Print models or plain objects as JSON or YAML.

    Args:
        value: what to print.
        output: `JSON` or `YAML`.
        stream: whether more documents follow: JSON is printed in one line, YAML after `---`.
    """
    indent = None if stream else 2
    text = json.dumps(value, default=lambda model: model.model_dump(mode="json"), indent=indent, ensure_ascii=False)
    if output is Output.YAML:
        import yaml  # noqa: PLC0415 - not for tables

        # Through JSON, which turns an enum into its text.
        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)
        typer.echo(f"---\n{text}" if stream else text, nl=False)
    else:
        typer.echo(text)
    if stream:
        sys.stdout.flush()


def rows_table(rows: Iterable[tuple[str, object]]) -> Table:
    """Return a table of names and values; rows without a value are left out."""
    table = plain_table()
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        if value not in (None, "", (), {}):
            table.add_row(name, value if isinstance(value, Text) else _text(value))
    return table


def status_table(status: SourcedStatus) -> Table:
    """Return the table of one order's status."""
    rows: list[tuple[str, object]] = [
        ("order", status.order_id),
        ("reference", status.reference),
        ("step", step_text(status.step)),
        ("approved", "yes" if status.approved else "no"),
        ("canceled", status.canceled and (status.cancel_reason or "yes")),
        ("payment", payment_text(status)),
        *waiting_rows(status),
        ("address", address_text(status)),
        *(("shipment", _shipment(shipment)) for shipment in status.shipments),
        ("dispatch failed", status.dispatch_failed_reason),
        ("last error", status.last_error),
        ("retries", counts_text(status.retries)),
        ("workflow", status.workflow_id),
        ("created", time_text(status.created_at)),
        ("ended", status.completed_at and time_text(status.completed_at)),
        ("source", f"the {status.source}"),
    ]
    return rows_table((name, value) for name, value in rows if value is not False)


def payment_text(status: OrderStatus) -> str:
    """Return the payment of an order in one line."""
    payment = status.payment
    refunded = f", {payment.refunded} refunded" if payment.refunded else ""
    return f"{payment.id}  {payment.status or 'not charged'}  {payment.amount} {payment.currency}{refunded}"


def waiting_rows(status: OrderStatus) -> list[tuple[str, object]]:
    """Return what an order's payment waits for, and why the order is held, as rows; empty if neither applies."""
    rows: list[tuple[str, object]] = []
    pending, hold = status.payment.pending, status.hold
    if pending is not None:
        until = f" until {time_text(pending.until)}" if pending.until else ""
        rows.append(("pending", f"waits for the customer{f' at {pending.url}' if pending.url else ''}{until}"))
    if hold is not None:
        rows.append(("held", f"{hold.name} since {time_text(hold.since)}: {hold.reason}"))
        rows.append(("remedy", f"{hold.remedy}; otherwise canceled at {time_text(hold.until)}"))
    return rows


def address_text(status: OrderStatus) -> str:
    """Return the address of an order in one line."""
    return ", ".join(part for part in status.address.model_dump().values() if part)


def counts_text(counts: Mapping[str, int]) -> str:
    """Return counts by name in one line, such as an order's retries by step."""
    return "  ".join(f"{name} {count}" for name, count in counts.items())


def events_table(events: Iterable[RecordedEvent]) -> Table:
    """Return the table of an audit trail, oldest event first."""
    table = plain_table("TIME", "STEP", "EVENT", "DETAIL")
    for event in events:
        detail = "  ".join(f"{name}={_short(value)}" for name, value in event.detail.items() if value not in (None, ""))
        table.add_row(time_text(event.at), event.step, event.kind, _text(detail))
    return table


def _shipment(shipment: Any) -> str:
    parts = (shipment.id, shipment.status, shipment.carrier, shipment.tracking_number, shipment.dispatch_failed_reason)
    return "  ".join(part for part in parts if part)


def plain_table(*columns: str) -> Table:
    """Return a table without borders; it has a header if columns are given."""
    table = Table(box=None, show_header=bool(columns), header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def step_text(step: str) -> Text:
    """Return a step's name in its color."""
    return Text(step, _COLORS.get(step, "cyan"))


def _text(value: object) -> Text:
    # rich parses a plain string as markup, and reasons and addresses may contain brackets.
    return Text(str(value))


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def time_text(at: datetime) -> str:
    """Return a time in the local time zone, with milliseconds."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def parse_time(text: str | datetime) -> datetime:
    """Parse a time: `2026-11-21T09:30:00+01:00`, `2026-11-21` (its midnight), or `24h` (before now); UTC by default.

    Raises:
        typer.BadParameter: `text` has none of these forms.
    """
    if isinstance(text, datetime):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - parse_duration(text)
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} is not a time; write 24h for 24 hours ago, or a time such as 2026-11-21T09:30Z"
            ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_day(text: str | date) -> date:
    """Parse a day such as `2026-11-21`.

    Raises:
        typer.BadParameter: `text` is not a day.
    """
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it such as 2026-11-21") from None


def duration(text: str) -> timedelta:
    """Parse a duration such as `24h`, `1h30m` or `90s`.

    Raises:
        typer.BadParameter: `text` is not a duration, or too long.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


PROGRESS_DELAY: Final = 2.0
"""Seconds before progress is shown."""


@contextmanager
def progress(text: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show `text` and the elapsed time on a terminal until the context exits.

    Args:
        text: what the command waits for.
        total: number of items; None shows no bar.

    Yields:
        A function to call after each item.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich import progress as bars  # noqa: PLC0415 - not for programs

    several = (bars.BarColumn(), bars.MofNCompleteColumn()) if total else ()
    columns = (bars.SpinnerColumn(), bars.TextColumn("{task.description}"), *several, bars.TimeElapsedColumn())
    display = bars.Progress(*columns, console=Console(stderr=True), transient=True)
    task = display.add_task(text, total=total)
    timer = threading.Timer(PROGRESS_DELAY, display.start)
    timer.start()
    try:
        yield lambda: display.advance(task)
    finally:
        timer.cancel()
        # If the timer has fired, `start` must return before `stop` is called.
        timer.join()
        display.stop()
