"""`orderfleet payments export`: the ledger and its sums for finance, as CSV on standard output."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import Connection, run
from orderfleet.cli.output import parse_day
from orderfleet.domain.base import Contract
from orderfleet.domain.finance import AuthorizationTotal, DayTotal, ExportedEntry


class Export(StrEnum):
    """What to export."""

    ENTRIES = "entries"
    TOTALS = "totals"
    AUTHORIZATIONS = "authorizations"


_MODELS: dict[Export, type[Contract]] = {
    Export.ENTRIES: ExportedEntry,
    Export.TOTALS: DayTotal,
    Export.AUTHORIZATIONS: AuthorizationTotal,
}


def export(
    what: Annotated[
        Export,
        typer.Argument(
            help="`entries`: each movement of money. `totals`: what was captured, refunded and charged back, by day and"
            " currency. `authorizations`: what is authorized and not captured, by day and currency."
        ),
    ] = Export.ENTRIES,
    *,
    first: Annotated[
        date | None, typer.Option("--from", parser=parse_day, metavar="DAY", help="First day (UTC); default: all.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="Last day (UTC), included.")
    ] = None,
) -> None:
    """Write the ledger or its sums as CSV, oldest first, amounts with the decimals of their currency.

    A day is that of the movement of money, and for `authorizations` that of the authorization.
    """
    if first is not None and last is not None and last < first:
        raise UsageError(f"--to {last} is before --from {first}; swap them")
    run(lambda connection: _write(connection, what, first, last))


async def _write(connection: Connection, what: Export, first: date | None, last: date | None) -> None:
    columns = list(_MODELS[what].model_fields)
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    async with aclosing(_batches(connection, what, first, last)) as batches:
        async for batch in batches:
            writer.writerows(each.model_dump(mode="json") for each in batch)


async def _batches(
    connection: Connection, what: Export, first: date | None, last: date | None
) -> AsyncGenerator[Sequence[Contract]]:
    match what:
        case Export.ENTRIES:
            async for batch in connection.payments.entries(first, last):
                yield batch
        case Export.TOTALS:
            yield await connection.payments.totals(first, last)
        case Export.AUTHORIZATIONS:
            yield await connection.payments.open_authorizations(first, last)
