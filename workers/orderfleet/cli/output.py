"""What the command line prints: tables for people, JSON and YAML for programs.

Every command that shows something calls it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orderfleet.domain.durations import parse_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orderfleet.domain.events import RecordedEvent
    from orderfleet.services.orders import SourcedStatus


class Output(StrEnum):
    """How a command prints: for people or for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON or YAML for programs.")]


_PIPE_WIDTH: Final = 200

_COLOURS: Final = {"shipped": "green", "delivered": "green", "failed": "red", "canceled": "yellow"}


def console() -> Console:
    """Standard output as rich sees it."""
    from rich.console import Console  # noqa: PLC0415 - not for JSON

    found = Console(highlight=False)
    # A pipe has no width: lines are for grep, not to be wrapped.
    return found if found.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


Document = Any

"""Models, lists of them, or plain objects."""


def print_document(value: Document, output: Output, *, stream: bool = False) -> None:
    """Print models or plain objects as JSON or YAML.

    Args:
        value: what to print.
        output: as which; a table is not for here.
        stream: one of several: JSON is a line then, YAML a document of its own.
    """
    text = json.dumps(_plain(value), indent=None if stream else 2, ensure_ascii=False)
    if output is Output.YAML:
        import yaml  # noqa: PLC0415 - not for tables

        # By way of JSON, which takes an enum for the text it is.
        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True)
        typer.echo(f"---\n{text}" if stream else text, nl=False)
    else:
        typer.echo(text)
    if stream:
        sys.stdout.flush()


def _plain(value: Document) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def rows_table(rows: Iterable[tuple[str, object]]) -> Table:
    """A name and a value a line; rows without a value are left out."""
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    table = plain_table()
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        if value not in (None, "", (), {}):
            table.add_row(name, value if isinstance(value, Text) else _text(value))
    return table


def status_table(status: SourcedStatus) -> Table:
    """Where one order stands."""
    payment = status.payment
    rows: list[tuple[str, object]] = [
        ("order", status.order_id),
        ("step", step_text(status.step)),
        ("approved", "yes" if status.approved else "no"),
        ("canceled", status.canceled and (status.cancel_reason or "yes")),
        ("payment", f"{payment.id}  {payment.status or 'not charged'}  {payment.amount} {payment.currency}"),
        ("address", ", ".join(part for part in status.address.model_dump().values() if part)),
        *(("shipment", _shipment(shipment)) for shipment in status.shipments),
        ("dispatch failed", status.dispatch_failed_reason),
        ("last error", status.last_error),
        ("retries", "  ".join(f"{step} {count}" for step, count in status.retries.items())),
        ("workflow", status.workflow_id),
        ("created", time_text(status.created_at)),
        ("ended", status.completed_at and time_text(status.completed_at)),
        ("told by", f"the {status.source}"),
    ]
    return rows_table((name, value) for name, value in rows if value is not False)


def events_table(events: Iterable[RecordedEvent]) -> Table:
    """The audit trail, oldest first."""
    table = plain_table("TIME", "STEP", "EVENT", "DETAIL")
    for event in events:
        detail = "  ".join(f"{name}={_short(value)}" for name, value in event.detail.items() if value not in (None, ""))
        table.add_row(time_text(event.at), event.step, event.kind, _text(detail))
    return table


def _shipment(shipment: Any) -> str:
    told = (shipment.id, shipment.status, shipment.carrier, shipment.tracking_number, shipment.dispatch_failed_reason)
    return "  ".join(part for part in told if part)


def plain_table(*columns: str) -> Table:
    """A table without lines; with a head where columns are given."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, show_header=bool(columns), header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def step_text(step: str) -> Text:
    """A step in its colour."""
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    return Text(step, _COLOURS.get(step, "cyan"))


def _text(value: object) -> Text:
    # Never read as markup: people write brackets into reasons and addresses.
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    return Text(str(value))


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def time_text(at: datetime) -> str:
    """A time as it is here."""
    # With milliseconds: the steps of an order follow each other closely.
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def moment(text: str | datetime) -> datetime:
    """Read `24h` (so long ago), `2026-11-21` (its first moment) or `2026-11-21T09:30:00+01:00`; UTC without a zone.

    Raises:
        typer.BadParameter: it is none of them.
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
                f"{text!r} is no moment: write 24h for that long ago, or a time such as 2026-11-21T09:30Z"
            ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def length(text: str) -> timedelta:
    """Read `24h`, `1h30m` or `90s`.

    Raises:
        typer.BadParameter: it is no duration, or too long a one.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


SECONDS: Final = 2.0

"""What is done sooner needs no word."""


@contextmanager
def shown(text: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show `text` with the time it takes until the context is left; a bar where there is a `total`.

    Gives what is to be called as each one of the total is done.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - not for programs

    several = (bars.BarColumn(), bars.MofNCompleteColumn()) if total else ()
    columns = (bars.SpinnerColumn(), bars.TextColumn("{task.description}"), *several, bars.TimeElapsedColumn())
    progress = bars.Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(text, total=total)
    timer = threading.Timer(SECONDS, progress.start)
    timer.start()
    try:
        yield lambda: progress.advance(task)
    finally:
        timer.cancel()
        # One that fired just now must have started before it is stopped.
        timer.join()
        progress.stop()
