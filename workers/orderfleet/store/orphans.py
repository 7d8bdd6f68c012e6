"""The record of orders whose workflow was ended from outside. Implements `OrphanStore`.

The sweep's activities call it; it is the only writer beside the workflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orderfleet.contracts.errors import StoreRejected
from orderfleet.contracts.payment import PaymentIntent
from orderfleet.contracts.record import AuditEvent
from orderfleet.contracts.settle import ClosedWorkflow, Orphan
from orderfleet.contracts.status import Step
from orderfleet.observers import RecordObserver, Unwatched
from orderfleet.store.encoding import as_json, as_text, events_without_texts
from orderfleet.store.pool import Database
from orderfleet.store.statements import statement


class Orphans:
    """`OrphanStore` over Postgres. Every call raises `StoreUnavailable` when it is away or too slow."""

    def __init__(self, database: Database, observer: RecordObserver | None = None) -> None:
        self._database = database
        self._observer = observer or Unwatched()

    async def unfinished(self, closed: Sequence[ClosedWorkflow]) -> list[Orphan]:
        """Those of the closed workflows whose order has no end yet."""
        how = {one.order_id: one.how for one in closed}
        rows = await self._database.fetch(statement("unfinished"), list(how))
        return [
            Orphan(
                order_id=row["order_id"],
                payment=PaymentIntent(
                    payment_id=row["payment_id"],
                    order_id=row["order_id"],
                    amount=row["amount"],
                    currency=row["currency"],
                ),
                shipments=row["shipments"],
                how=how[row["order_id"]],
            )
            for row in rows
        ]

    async def settle(self, order_id: str, *, step: Step, reason: str, event: AuditEvent) -> None:
        """End an unfinished order in its workflow's place; an order that has ended stays as it is."""
        write = partial(self._database.fetch, statement("settle"), order_id, step)
        try:
            ended = await write(as_text(reason), as_json(event))
        except StoreRejected as error:
            [reduced] = events_without_texts([event], str(error))
            ended = await write(str(error), as_json(reduced))
        if ended:
            self._observer.order_ended(step, ended[0]["lasted"])
