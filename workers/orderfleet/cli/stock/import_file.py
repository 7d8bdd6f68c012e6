"""`orderfleet stock import`: records the counts of a CSV file, all or nothing."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from pydantic import ValidationError

from orderfleet.cli.errors import UsageError
from orderfleet.cli.output import Output, OutputOption, print_document
from orderfleet.cli.stock.session import actor, lost_text, print_lost, run_stock
from orderfleet.domain.inputs import validation_message
from orderfleet.domain.stock import LevelCount
from orderfleet.services.errors import UnknownLocation

COLUMNS: Final = tuple(LevelCount.model_fields)
MAX_ROWS: Final = 50_000
"""Rows of one file, which are one statement: it locks their levels until its end."""
_SHOWN: Final = 20
"""Problems that are printed."""
_TIMEOUT: Final = timedelta(seconds=60)


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns sku, location, on_hand; UTF-8, commas.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; shown with the movements. Default: the file's name.")] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Record what was counted, from a CSV file: every row, or none if one is wrong.

    The rows are what is on hand, so importing a file again changes nothing. Levels that it does not name stay. The
    locations must exist. As with `set`, orders may lose reserved pieces; the output names them.
    """
    counts = read_counts(file)
    try:
        result = run_stock(
            lambda stock: stock.count([*counts.values()], reason=reason or f"import of {file.name}", actor=actor()),
            f"importing {len(counts)} levels",
            _TIMEOUT,
        )
    except UnknownLocation as error:
        unknown = [(line, each.location) for line, each in counts.items() if each.location in error.locations]
        _raise(file, [(line, "location", error.message(location)) for line, location in unknown])
    unchanged = len(counts) - result.changed
    if output is not Output.TABLE:
        print_document({"levels": len(counts), **result.model_dump(mode="json"), "unchanged": unchanged}, output)
        return
    summary = f"{result.created} new, {result.changed} changed, {unchanged} as before"
    typer.echo(f"imported {len(counts)} levels from {file}: {summary}{lost_text(result)}")
    print_lost(result)


def read_counts(file: Path) -> dict[int, LevelCount]:
    """Read a CSV file.

    Returns:
        The counts by the number of their line.

    Raises:
        UsageError: it can't be read, or is wrong; each line of the message names a line and a column of the file.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return _parse(file, csv.DictReader(opened, strict=True))
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}; name a CSV file") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is not UTF-8; save it as CSV with UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{file}: is not CSV ({error}); separate the columns by commas") from None


def _parse(file: Path, reader: csv.DictReader[str]) -> dict[int, LevelCount]:
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    problems = [(1, name, "the column is missing; add it to the first line") for name in COLUMNS if name not in header]
    problems += [
        (1, name, f"the column is not known or twice; leave it out, the columns are {', '.join(COLUMNS)}")
        for number, name in enumerate(header)
        if name not in COLUMNS or name in header[:number]
    ]
    if problems:
        _raise(file, problems)
    found: dict[int, LevelCount] = {}
    lines: dict[tuple[str, str], int] = {}
    for row in reader:
        line = reader.line_num
        if None in row or None in row.values():
            problems.append(
                (line, COLUMNS[-1], f"the line does not have {len(COLUMNS)} cells; quote a cell with a comma")
            )
            continue
        try:
            count = LevelCount.model_validate({name: text.strip() for name, text in row.items()})
        except ValidationError as error:
            problems += [(line, str(each["loc"][0]), validation_message(each)) for each in error.errors()]
            continue
        first = lines.setdefault((count.sku, count.location), line)
        if first != line:
            problems.append((line, "sku", f"the SKU is at this location in line {first} too; keep one of them"))
        found[line] = count
    if not found and not problems:
        problems.append((2, COLUMNS[0], "there are no rows; add one for each level"))
    if len(found) > MAX_ROWS:
        problems.append((reader.line_num, COLUMNS[0], f"there are more than {MAX_ROWS} rows; divide the file"))
    if problems:
        _raise(file, problems)
    return found


def _raise(file: Path, problems: list[tuple[int, str, str]]) -> NoReturn:
    lines = [f"{file}:{line}: {column}: {message}" for line, column, message in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"{file}: {len(problems) - _SHOWN} more problems; nothing was imported")
    raise UsageError("\n".join(lines))
