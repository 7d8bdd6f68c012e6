"""Counts what the record says is unfinished. Implements `Survey`; the operator takes it now and then.

Its cost grows with what is unfinished, never with what is done: a test holds its plan.
"""

from __future__ import annotations

from orderfleet.contracts.survey import Waiting, WaitKind
from orderfleet.store.pool import Database
from orderfleet.store.statements import statement


class RecordSurvey:
    """`Survey` over Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self) -> list[Waiting]:
        """Unfinished orders by step, those past their deadline, what is owed by its payment's status; one round trip.

        Raises:
            StoreUnavailable: Postgres is away or too slow.
        """
        rows = await self._database.fetch(statement("backlog"))
        return [Waiting(WaitKind(row["kind"]), row["place"], row["count"], max(row["oldest"], 0.0)) for row in rows]
