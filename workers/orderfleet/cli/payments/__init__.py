"""`orderfleet payments`: the payments of orders. It registers the subcommands that its modules implement."""

from __future__ import annotations

import typer

from orderfleet.cli.errors import EXITS
from orderfleet.cli.payments import retry

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Retry payments.", epilog=EXITS)


@app.callback()
def payments() -> None:
    """Keep `retry` a subcommand; typer would otherwise make the only command the group itself."""


def _example(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet payments {line}" for line in lines)


app.command(epilog=_example("retry ord-1", "retry ord-1 --method pm_card_visa"))(retry.retry)
