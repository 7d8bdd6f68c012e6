"""`orderfleet stock locations`, `set` and `adjust`: change locations and single levels."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from orderfleet.cli.errors import UsageError
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document
from orderfleet.cli.stock.session import Location, ReasonOption, Sku, actor, lost_text, print_lost, run_stock
from orderfleet.domain.inputs import validation_message
from orderfleet.domain.stock import MAX_PIECES, LevelCount, Reason, StockLocation

_Model = TypeVar("_Model", StockLocation, LevelCount)
_REASON: TypeAdapter[str] = TypeAdapter(Reason)


def locations(
    location: Annotated[
        str | None, typer.Argument(metavar="LOCATION", help="Create or change this one; default: only list.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000, help="The location with the lowest number is used first; new ones have 100."
        ),
    ] = None,
    active: Annotated[
        bool | None,
        typer.Option("--on/--off", help="Whether further pieces may be reserved there.", show_default=False),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the locations, or create or change one. A location is never deleted; turn it off instead."""
    if location is None and (name, priority, active) != (None, None, None):
        raise UsageError("LOCATION is missing; name the location to change")
    if location is not None:
        checked = _checked(StockLocation, location=location, name=name or "").location
        run_stock(lambda stock: stock.set_location(checked, name=name, priority=priority, active=active))
    found = run_stock(lambda stock: stock.locations())
    if output is not Output.TABLE:
        print_document({"locations": found}, output)
    elif not found:
        typer.echo("there are no locations; create one with `orderfleet stock locations LOCATION`")
    else:
        table = plain_table("LOCATION", "PRIORITY", "ACTIVE", "NAME")
        for each in found:
            table.add_row(each.location, str(each.priority), "yes" if each.active else "no", Text(each.name))
        console().print(table)


def set_level(
    sku: Sku,
    location: Location,
    on_hand: Annotated[int, typer.Argument(metavar="PIECES", min=0, max=MAX_PIECES, help="How many were counted.")],
    *,
    reason: ReasonOption,
    output: OutputOption = Output.TABLE,
) -> None:
    """Record how many pieces were counted at a location.

    A count is a fact: if it finds fewer pieces than are reserved, the youngest reservations lose them, those that are
    held before those that are confirmed. The output names them.
    """
    counted = _checked(LevelCount, sku=sku, location=location, on_hand=on_hand)
    result = run_stock(
        lambda stock: stock.count([counted], reason=_reason(reason), actor=actor()), "recording the count"
    )
    if output is not Output.TABLE:
        print_document(result, output)
        return
    done = "were on hand already" if not result.changed else "are on hand"
    typer.echo(f"{on_hand} pieces of {counted.sku} {done} at {location}{lost_text(result)}")
    print_lost(result)


def adjust(
    sku: Sku,
    location: Location,
    *,
    by: Annotated[
        int,
        typer.Option(
            "--by", min=-MAX_PIECES, max=MAX_PIECES, metavar="PIECES", help="How many more; with a minus, fewer."
        ),
    ],
    reason: ReasonOption,
    key: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Makes a repeated command the same adjustment; default: a new one."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add pieces to a location, or take some away. Pieces that are reserved can't be taken away: use `set` then."""
    at = _checked(LevelCount, sku=sku, location=location, on_hand=0)
    level = run_stock(
        lambda stock: stock.adjust(at.sku, at.location, by, reason=_reason(reason), actor=actor(), key=key),
        "recording the adjustment",
    )
    if output is not Output.TABLE:
        print_document({"sku": at.sku, "location": at.location, **level.model_dump()}, output)
    else:
        typer.echo(f"{level.on_hand} pieces of {at.sku} are on hand at {at.location}, {level.reserved} reserved")


def _reason(text: str) -> str:
    try:
        return _REASON.validate_python(text)
    except ValidationError as error:
        raise UsageError(f"--reason: {validation_message(error.errors()[0])}") from None


def _checked(model: type[_Model], **values: Any) -> _Model:
    try:
        return model(**values)
    except ValidationError as error:
        lines = (f"{each['loc'][0]}: {validation_message(each)}" for each in error.errors())
        raise UsageError("\n".join(lines)) from None
