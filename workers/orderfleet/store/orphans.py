"""Orders without an end, and the end of orphaned ones. Implements `OrphanStore`.

It ends an order in place of the order's workflow, and must never change an order that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from orderfleet.domain.errors import StoreRejected
from orderfleet.domain.events import AuditEvent
from orderfleet.domain.orphans import Orphan, UnfinishedOrder, UnfinishedPage
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.status import Step
from orderfleet.observability import order_metrics
from orderfleet.store.encoding import as_json, as_text, events_without_texts
from orderfleet.store.pool import Database
from orderfleet.store.statements import statement


class PostgresOrphanStore:
    """`OrphanStore` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self, order_ids: Sequence[str]) -> list[UnfinishedOrder]:
        """Return those of the orders that have not ended."""
        rows = await self._database.fetch(statement("unfinished"), list(order_ids))
        return [UnfinishedOrder(**row) for row in rows]

    async def unfinished_page(self, after: str, limit: int, idle: timedelta) -> UnfinishedPage:
        """Return a page of orders that have not ended, in the order of their ids.

        Args:
            after: the page begins after this order id; empty begins at the first.
            limit: maximum number of orders to read, including those left out.
            idle: orders that changed within this time are left out.
        """
        rows = await self._database.fetch(statement("unfinished_page"), after, limit, idle)
        return UnfinishedPage(
            orders=tuple(UnfinishedOrder(**row) for row in rows if row["is_due"]),
            last=rows[-1]["order_id"] if len(rows) == limit else None,
        )

    async def orphans(self, order_ids: Sequence[str]) -> list[Orphan]:
        """Return those of the orders that have not ended, with what their compensation needs."""
        rows = await self._database.fetch(statement("orphans"), list(order_ids))
        return [Orphan(**row, payment=PaymentIntent(**row)) for row in rows]

    async def record_compensation(
        self, order_id: str, *, step: Step, reason: str, events: Sequence[AuditEvent]
    ) -> None:
        """End an order in place of its workflow, unless it has ended.

        Args:
            order_id: of the order.
            step: the final one.
            reason: stored as the order's last error.
            events: inserted with the end.
        """
        write = partial(self._database.fetch, statement("record_compensation"), order_id, step)
        try:
            ended = await write(as_text(reason), as_json(events))
        except StoreRejected as error:
            ended = await write(str(error), as_json(events_without_texts(events, str(error))))
        if ended:
            order_metrics.count_ended(step, ended[0]["lasted"])
