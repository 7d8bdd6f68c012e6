"""`orderfleet settings`: the settings in effect, and their table for the documentation.

It must never show a secret: the password of a URL and every other secret are replaced by `***`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import SecretStr
from rich.markup import escape

from orderfleet.cli.errors import Failed, read_settings, variables
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document
from orderfleet.domain.durations import format_duration
from orderfleet.settings import Settings

BEGIN: Final = "<!-- settings: begin; `orderfleet settings --write deploy/docs/settings.md` renews it -->"
END: Final = "<!-- settings: end -->"

_PASSWORD: Final = re.compile(r"(?<=://)([^:/@?#]*):[^@/?#]*(?=@)|((?:^|[?&])password=)[^&]*")


def descriptions() -> dict[str, str]:
    """Return the descriptions of the settings: the text below each field, on one line.

    Pydantic reads such texts at import (`use_attribute_docstrings`), which delays every command by 0.1 s.
    """
    found: dict[str, str] = {}
    for group in Settings.__bases__:
        for field, text in pairwise(ast.walk(ast.parse(inspect.getsource(group)))):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found


def settings_markdown() -> str:
    """Return the table of every setting: variables, default, meaning."""
    lines, described = ["| variable | default | |", "|---|---|---|"], descriptions()
    for field, info in Settings.model_fields.items():
        first, *others = variables(field)
        names = f"`{first}`" + (f"<br>or {', '.join(f'`{name}`' for name in others)}" if others else "")
        lines.append(f"| {names} | {_cell(info.default)} | {described[field]} |")
    return "\n".join(lines)


def with_settings_table(text: str) -> str:
    """Return `text` with a current table between its markers.

    Raises:
        ValueError: the markers are missing.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers of the table are missing; add the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{settings_markdown()}\n{END}{tail}"


def effective(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Yield variable, value and whether it is set, for every setting."""
    for field in Settings.model_fields:
        yield variables(field)[0], setting_text(getattr(settings, field)), field in settings.model_fields_set


def setting_text(value: Any) -> str:
    """Return a value as it is written in the environment; secrets are replaced by `***`."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return _without_password(secret) if "://" in secret else "***"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    return _PASSWORD.sub(lambda found: f"{found[2]}***" if found[2] else f"{found[1]}:***", url)


def _cell(value: Any) -> str:
    text = setting_text(value)
    return f"`{text}`" if text else ""


app = typer.Typer(add_completion=False)


@app.command(
    epilog="Examples:\n\n  $ orderfleet settings\n\n  $ orderfleet settings -o json | jq -r .ORDERFLEET_API_PORT\n\n"
    "  $ orderfleet settings --markdown"
)
def settings(
    output: OutputOption = Output.TABLE,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of all settings for the documentation.")
    ] = False,
    write: Annotated[Path | None, typer.Option(help="Update the table in this file, deploy/docs/settings.md.")] = None,
) -> None:
    """Print every setting that a process started here would use, without secrets."""
    if markdown:
        typer.echo(settings_markdown())
    elif write:
        try:
            write.write_text(with_settings_table(write.read_text()))
        except (OSError, ValueError) as error:
            raise Failed(f"{write}: {getattr(error, 'strerror', None) or error}") from None
    else:
        found = list(effective(read_settings()))
        if output is Output.TABLE:
            _print_table(found)
        else:
            print_document({name: value for name, value, _ in found}, output)


def _print_table(found: list[tuple[str, str, bool]]) -> None:
    table = plain_table("VARIABLE", "VALUE", "")
    for name, value, is_set in found:
        table.add_row(name, escape(value), "set" if is_set else "[dim]default[/]")
    console().print(table)
