"""`orderfleet prune`: remove details of orders that ended long ago. `orderfleet.store.erasure` does the work."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from orderfleet.cli.errors import UsageError, read_settings
from orderfleet.cli.output import duration
from orderfleet.domain.durations import format_duration

EPILOG: Final = (
    "Examples:\n\n  $ orderfleet prune --older-than 2160h\n\n  $ orderfleet prune --older-than 2160h --check\n\n"
    "Exit status: 0 done, 1 not allowed, 2 wrong arguments, 5 Postgres did not answer, 130 interrupted: run it"
    " again to continue."
)


def prune(
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="Time since the order's end, instead of ORDERFLEET_PRUNE_AFTER."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; print the number of such orders.")] = False,
) -> None:
    """Remove events, shipments and personal data of orders that ended long ago.

    An order's id, owner, state and payment stay, so that the id is never used again and payments can be audited.
    """
    from orderfleet.settings.database_address import database_address  # noqa: PLC0415 - `--help` doesn't need it

    settings = read_settings()
    age = settings.prune_after if older_than is None else older_than
    if age is None:
        raise UsageError("the age is missing; give --older-than DURATION or set ORDERFLEET_PRUNE_AFTER")
    before = datetime.now(UTC) - age
    asyncio.run(_prune(database_address(settings)(), before, f"ended {format_duration(age)} ago", check))


async def _prune(url: str, before: datetime, which: str, check: bool) -> None:
    from orderfleet.store.erasure import prunable, prune  # noqa: PLC0415 - `--help` doesn't need it

    total = await prunable(url, before)
    if check or not total:
        typer.echo(f"{total} orders {which} or earlier")
        return
    done = 0
    async with aclosing(prune(url, before)) as batches:
        async for count in batches:
            done += count
            typer.echo(f"pruned {done} of {max(total, done)} orders that {which} or earlier")
