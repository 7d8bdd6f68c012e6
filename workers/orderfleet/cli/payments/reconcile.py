"""`orderfleet payments reconcile` and `differences`: compare the ledger with the payment provider's books."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from orderfleet.cli.errors import Exit, UsageError
from orderfleet.cli.order.session import local_settings, run_async
from orderfleet.cli.output import (
    Output,
    OutputOption,
    console,
    parse_time,
    plain_table,
    print_document,
    progress,
    time_text,
)
from orderfleet.domain.differences import RecordedDifference
from orderfleet.domain.money import amount_text
from orderfleet.domain.reconciliation_run import Reconciliation, ReconciliationProgress
from orderfleet.services.reconciliation import ReconciliationService
from orderfleet.settings import Settings
from orderfleet.store.pool import connect as connect_to_store
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.temporal.connection import connect as connect_to_temporal

RECONCILE_EXITS = (
    "Exit status: 0 no difference is left for a person, 1 some are left, or it failed, 2 wrong arguments,"
    " 5 Temporal or Postgres unavailable, 130 interrupted: the reconciliation continues."
)


def reconcile(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            parser=parse_time,
            metavar="TIME",
            help="Compare what changed since then: 72h for 72 hours ago, or a time; default:"
            " ORDERFLEET_RECONCILIATION_WINDOW.",
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", parser=parse_time, metavar="TIME", help="And before then; default: now.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Repair nothing; only list what differs.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare the ledger with the payment provider's books, repair what is safe, list what is left.

    Recorded facts and repeated voids are safe. What is left needs a person; its remedy is in the list.
    """
    settings = local_settings()
    now = datetime.now(UTC)
    since = since or (until or now) - settings.reconciliation_window
    if since >= (until or now):
        raise UsageError(f"--from {since:%Y-%m-%dT%H:%M:%SZ} is not before --to; choose an earlier time")
    given = Reconciliation(
        policy=settings.order_policy(),
        since=since,
        until=until,
        grace=settings.reconciliation_grace,
        repair=not dry_run,
    )
    result, left = run_async(_reconcile(settings, given))
    if output is not Output.TABLE:
        counts = {name: getattr(result, name) for name in ("since", "until", "compared", "found", "repaired")}
        document = {**{name: _plain(value) for name, value in counts.items()}, "differences": left}
        print_document(document, output)
    else:
        done = f"{result.found} differences" + (f", {result.repaired} repaired" if result.found else "")
        typer.echo(f"compared {result.compared} payments: {done}")
        _print_table(left)
    if result.open.unsafe:
        raise typer.Exit(Exit.FAILED)


def differences(
    *,
    resolved: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of differences.")] = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the differences that reconciliations found, the open ones first."""

    async def read() -> list[RecordedDifference]:
        async with _service(local_settings()) as service:
            return await service.differences(resolved=resolved, limit=limit)

    with progress("reading the differences"):
        found = run_async(read())
    if output is not Output.TABLE:
        print_document({"differences": found}, output)
    elif not found:
        typer.echo("there are no differences")
    else:
        _print_table(found)


async def _reconcile(
    settings: Settings, given: Reconciliation
) -> tuple[ReconciliationProgress, list[RecordedDifference]]:
    """Run a reconciliation and show its progress on a terminal; return its result and the open differences."""
    shown = Console(stderr=True).status("starting the reconciliation")
    latest = ReconciliationProgress()
    async with _service(settings) as service:
        if sys.stderr.isatty():
            shown.start()
        try:
            async for latest in service.reconcile(given):
                shown.update(_progress_text(latest))
        finally:
            shown.stop()
        return latest, await service.differences()


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[ReconciliationService]:
    temporal = await connect_to_temporal(settings, lazy=True)
    async with connect_to_store(settings, "cli") as database:
        yield ReconciliationService(temporal, PostgresDifferences(database), settings.orders_task_queue)


def _progress_text(latest: ReconciliationProgress) -> str:
    counts = f"{latest.compared} payments compared, {latest.found} differences, {latest.repaired} repaired"
    if latest.window.done:
        return f"comparing the differences of before: {counts}"
    at = latest.window.position
    return f"{time_text(datetime.fromisoformat(at))}: {counts}" if at else f"comparing: {counts}"


def _print_table(found: Sequence[RecordedDifference]) -> None:
    if not found:
        return
    columns = ("ORDER", "PAYMENT", "DIFFERENCE", "LEDGER", "PROVIDER", "FIRST SEEN", "STATE", "REMEDY")
    table = plain_table(*columns)
    for each in found:
        table.add_row(
            Text(each.order_id),
            Text(each.payment_id),
            each.kind,
            _amount(each.ledger_amount, each.currency),
            _amount(each.provider_amount, each.currency),
            time_text(each.first_seen_at)[:-4],
            _state(each),
            each.remedy,
        )
    console().print(table)


def _state(each: RecordedDifference) -> str:
    if each.repaired_at is not None:
        return "repaired"
    if each.resolved_at is not None:
        return "resolved"
    return "to be repaired" if each.safe else "open"


def _amount(amount: int | None, currency: str) -> str:
    if amount is None:
        return "-"
    try:
        return amount_text(amount, currency)
    except ValueError:
        # The provider may have a currency that no order can have.
        return f"{amount} {currency} in minor units"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
