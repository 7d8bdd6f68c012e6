"""`orderfleet erase`: erase a customer's personal data. `orderfleet.store.erasure` does the work."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from orderfleet.cli.errors import Exit, print_error, read_settings

EPILOG: Final = (
    "Examples:\n\n  $ orderfleet erase ada@example.com\n\n"
    "Exit status: 0 no personal data of the customer is left in the order store, 1 not allowed, 2 wrong"
    " arguments, 4 an order that still runs was skipped, 5 Postgres did not answer."
)


def erase(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="E-mail address; case doesn't matter.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Replace name, e-mail address, address and free text in a customer's orders that have ended.

    Steps, times and amounts stay. An Order that still exists in Kubernetes has its own copy.

    Temporal keeps its history until its retention ends, encrypted where encryption is on; backups don't change.
    """
    from orderfleet.settings.database_address import database_address  # noqa: PLC0415 - `--help` doesn't need it
    from orderfleet.store.erasure import erase as erase_now  # noqa: PLC0415

    url = database_address(read_settings())()
    if not yes:
        typer.confirm(f"Erase the personal data of {customer} permanently?", abort=True)
    result = asyncio.run(erase_now(url, customer))
    typer.echo(f"erased in {len(result.erased)} orders" if result.erased else "no order to erase")
    for order_id in result.erased:
        typer.echo(f"  {order_id}")
    if result.running:
        print_error(
            f"{len(result.running)} still run and were skipped: {', '.join(result.running)};"
            " cancel them or wait, and run this again"
        )
        raise typer.Exit(Exit.REJECTED)
