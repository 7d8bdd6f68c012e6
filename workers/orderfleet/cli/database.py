"""The commands of the order store: `orderfleet migrate`, `erase`, `prune`.

They parse, print and set exit codes; `orderfleet.store` does the work. The chart's hook job runs `migrate`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from orderfleet.cli.errors import Exit, UsageError, print_error, read_settings
from orderfleet.cli.output import duration, progress
from orderfleet.domain.durations import format_duration
from orderfleet.domain.errors import StoreUnavailable

app = typer.Typer(add_completion=False)

MIGRATE_EXITS: Final = (
    "Exit status: 0 up to date, 1 a migration failed or doesn't fit what was applied, 2 wrong arguments,"
    " 5 Postgres did not answer in time, 8 (with --check) something is to be applied."
)


@app.command(
    epilog="Examples:\n\n  $ orderfleet migrate\n\n  $ orderfleet migrate --runtime-role orderfleet_run\n\n"
    f"  $ orderfleet migrate --check --wait 0s\n\n{MIGRATE_EXITS}"
)
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; list the migrations to apply.")] = False,
    wait: Annotated[
        timedelta, typer.Option(parser=duration, metavar="DURATION", help="How long to wait for Postgres to start.")
    ] = "60s",  # type: ignore[assignment]  # typer parses the default as it does the option
    accept_newer: Annotated[
        bool,
        typer.Option(
            "--accept-newer", help="Accept a database that a later version has migrated, as after a rollback."
        ),
    ] = False,
    runtime_role: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Role that the processes log in as, instead of ORDERFLEET_DATABASE_RUNTIME_ROLE."
        ),
    ] = None,
) -> None:
    """Apply the migrations that the database doesn't have yet. It is safe to run again, and concurrently.

    With a runtime role, grant that role what workers, operator and API need, and nothing more.
    """
    from orderfleet.settings.connections import database_address  # noqa: PLC0415 - `--help` doesn't need it
    from orderfleet.store import migrate as migrations  # noqa: PLC0415

    settings = read_settings(**({"database_runtime_role": runtime_role} if runtime_role is not None else {}))
    url, role = database_address(settings)(), settings.database_runtime_role
    try:
        with progress("waiting for Postgres"):
            if role:
                asyncio.run(migrations.check_runtime_role(url, role, wait=wait))
            run = migrations.pending if check else migrations.migrate
            found = asyncio.run(run(url, wait=wait, accept_newer=accept_newer))
            if role and not check:
                asyncio.run(migrations.grant_runtime_role(url, role, wait=wait))
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} (waited {format_duration(wait)})") from None
    if not found:
        typer.echo("up to date")
    for name in found:
        typer.echo(f"to be applied: {name}" if check else f"applied {name}")
    if role and not check:
        typer.echo(f"granted to {role}: read and write orders, append events")
    if found and check:
        raise typer.Exit(Exit.PENDING)


@app.command(
    epilog="Examples:\n\n  $ orderfleet erase ada@example.com\n\n"
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
    from orderfleet.settings.connections import database_address  # noqa: PLC0415 - `--help` doesn't need it
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


@app.command(
    epilog="Examples:\n\n  $ orderfleet prune --older-than 2160h\n\n  $ orderfleet prune --older-than 2160h --check\n\n"
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
    from orderfleet.settings.connections import database_address  # noqa: PLC0415 - `--help` doesn't need it

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
