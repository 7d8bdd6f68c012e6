"""`orderfleet migrate`: bring the database schema up to this version. The chart's hook job runs it.

It parses, prints and sets exit codes; `orderfleet.store.migrate` does the work.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Final

import typer

from orderfleet.cli import output
from orderfleet.cli.errors import Exit, read_settings
from orderfleet.cli.output import duration
from orderfleet.domain.durations import format_duration
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.settings.database_address import database_address
from orderfleet.store import migrate as runner
from orderfleet.store import runtime_role as rights

EPILOG: Final = (
    "Examples:\n\n  $ orderfleet migrate\n\n  $ orderfleet migrate --runtime-role orderfleet_run\n\n"
    "  $ orderfleet migrate --check --wait 0s\n\n"
    "Exit status: 0 up to date, 1 a migration failed or doesn't fit what was applied, 2 wrong arguments,"
    " 5 Postgres did not answer in time, 8 (with --check) something is to be applied."
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
    settings = read_settings(**({"database_runtime_role": runtime_role} if runtime_role is not None else {}))
    url, role = database_address(settings)(), settings.database_runtime_role
    try:
        with output.progress("waiting for Postgres"):
            if role:
                asyncio.run(rights.check(url, role, wait=wait))
            run = runner.pending if check else runner.migrate
            found = asyncio.run(run(url, wait=wait, accept_newer=accept_newer))
            if role and not check:
                asyncio.run(rights.grant(url, role, wait=wait))
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
