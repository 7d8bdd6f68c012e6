"""`orderfleet erase`: take out of the record what a customer gave. `orderfleet.store.erasure` does the work."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from orderfleet.cli.errors import Exit, complain, read_settings

EPILOG: Final = (
    "Examples:\n\n  $ orderfleet erase ada@example.com\n\n"
    "Exit status: 0 nothing of the customer is left in the record, 1 not allowed, 2 wrong arguments, 4 an order"
    " still runs and was left, 5 Postgres did not answer."
)


def erase(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="E-mail address, in whatever case.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Replace name, e-mail address, address and free text in a customer's orders that have ended.

    What happened, when, and for how much stays. An Order that still stands in Kubernetes has its own copy.

    Temporal keeps its history until its retention ends, encrypted where that is on; backups stay as they are.
    """
    from orderfleet.settings.database_address import database_address  # noqa: PLC0415 - `--help` doesn't need it
    from orderfleet.store.erasure import erase as erase_now  # noqa: PLC0415

    url = database_address(read_settings())()
    if not yes:
        typer.confirm(f"Erase what {customer} gave, for good?", abort=True)
    found = asyncio.run(erase_now(url, customer))
    typer.echo(f"erased in {len(found.erased)} orders" if found.erased else "no order to erase")
    for order_id in found.erased:
        typer.echo(f"  {order_id}")
    if found.running:
        complain(
            f"{len(found.running)} still run and were left: {', '.join(found.running)};"
            " cancel them or wait, and run this again"
        )
        raise typer.Exit(Exit.REFUSED)
