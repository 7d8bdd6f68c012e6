"""What the command line prints about orders: tables for people, JSON for programs.

`order` and `demo` call it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

    from orderfleet.client import SourcedStatus
    from orderfleet.contracts.record import RecordedEvent


class Output(StrEnum):
    """How a command prints: for people or for programs."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON for programs.")]

_PIPE_WIDTH: Final = 200
_COLOURS: Final = {"shipped": "green", "delivered": "green", "failed": "red", "canceled": "yellow"}


def console() -> Console:
    """Standard output as rich sees it."""
    from rich.console import Console  # noqa: PLC0415 - not for JSON

    found = Console(highlight=False)
    # A pipe has no width: lines are for grep, not to be wrapped.
    return found if found.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def print_json(value: BaseModel | Iterable[BaseModel] | dict[str, Any]) -> None:
    """Print models or a plain object as indented JSON."""
    if isinstance(value, dict):
        content: Any = value
    elif hasattr(value, "model_dump"):
        content = value.model_dump(mode="json")
    else:
        content = [one.model_dump(mode="json") for one in value]
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_rows(rows: Iterable[tuple[str, object]]) -> None:
    """Print a name and a value a line; rows without a value are left out."""
    table = _table()
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        if value not in (None, "", (), {}):
            table.add_row(name, str(value))
    console().print(table)


def print_status(status: SourcedStatus) -> None:
    """Print where one order stands."""
    payment = status.payment
    rows: list[tuple[str, object]] = [
        ("order", status.order_id),
        ("step", f"[{_COLOURS.get(status.step, 'cyan')}]{status.step}[/]"),
        ("approved", "yes" if status.approved else "no"),
        ("canceled", status.canceled and (status.cancel_reason or "yes")),
        ("payment", f"{payment.id}  {payment.status or 'not charged'}  {payment.amount} {payment.currency}"),
        ("address", ", ".join(part for part in status.address.model_dump().values() if part)),
        *(("shipment", _shipment(shipment)) for shipment in status.shipments),
        ("dispatch failed", status.dispatch_failed_reason),
        ("last error", status.last_error),
        ("retries", "  ".join(f"{step} {count}" for step, count in status.retries.items())),
        ("workflow", status.workflow_id),
        ("created", _time(status.created_at)),
        ("ended", status.completed_at and _time(status.completed_at)),
        ("told by", f"the {status.source}"),
    ]
    print_rows((name, value) for name, value in rows if value is not False)


def events_table(events: Iterable[RecordedEvent]) -> Table:
    """The audit trail, oldest first."""
    table = _table(header=True)
    for column in ("TIME", "STEP", "EVENT", "DETAIL"):
        table.add_column(column, overflow="fold")
    for event in events:
        detail = "  ".join(f"{name}={_short(value)}" for name, value in event.detail.items() if value not in (None, ""))
        table.add_row(_time(event.at), event.step, event.kind, detail)
    return table


def _shipment(shipment: Any) -> str:
    told = (shipment.id, shipment.status, shipment.carrier, shipment.tracking_number, shipment.dispatch_failed_reason)
    return "  ".join(part for part in told if part)


def _table(*, header: bool = False) -> Table:
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    return Table(box=None, show_header=header, header_style="bold", pad_edge=False)


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _time(at: datetime) -> str:
    # With milliseconds: the steps of an order follow each other closely.
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
