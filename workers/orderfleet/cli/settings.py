"""`orderfleet settings`: what is set, and the table of deploy/docs/settings.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from orderfleet.cli.configuration import read_settings
from orderfleet.cli.exits import Failed
from orderfleet.cli.show import Output, OutputOption, console, print_document

app = typer.Typer(add_completion=False)
_OUTPUT: Final = Output.TABLE


@app.command(
    epilog="Examples:\n\n  $ orderfleet settings\n\n  $ orderfleet settings -o json | jq -r .ORDERFLEET_API_PORT\n\n"
    "  $ orderfleet settings --markdown"
)
def settings(
    output: OutputOption = _OUTPUT,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the documentation of all settings.")] = False,
    write: Annotated[Path | None, typer.Option(help="Renew the table in this file: deploy/docs/settings.md.")] = None,
) -> None:
    """Print every setting as a process started here would have it, without passwords."""
    from orderfleet.cli import settings_table  # noqa: PLC0415 - `--help` doesn't need the settings

    if markdown:
        typer.echo(settings_table.markdown())
    elif write:
        try:
            write.write_text(settings_table.write(write.read_text()))
        except (OSError, ValueError) as error:
            raise Failed(f"{write}: {getattr(error, 'strerror', None) or error}") from None
    else:
        found = list(settings_table.effective(read_settings()))
        if output is Output.TABLE:
            _print(found)
        else:
            print_document({name: value for name, value, _ in found}, output)


def _print(found: list[tuple[str, str, bool]]) -> None:
    from rich.markup import escape  # noqa: PLC0415 - not for JSON
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("VARIABLE", "VALUE", ""):
        table.add_column(column, overflow="fold")
    for name, value, given in found:
        table.add_row(name, escape(value), "set" if given else "[dim]default[/]")
    console().print(table)
