"""The order store of the activities. Implements `OrderStore`, `ShipmentStore`, `AttemptLog` and `OrphanStore`.

Each call is one statement, so one round trip and one transaction. It can be repeated: a late or repeated call changes
nothing that was written after it. The SQL decides what a write may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import asyncpg

from orderfleet.domain.errors import OrderConflict, ReferenceConflict, StoreRejected
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.order import OrderInput
from orderfleet.domain.orphans import Orphan, UnfinishedOrder, UnfinishedPage
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.shipment import ShipmentRecord
from orderfleet.domain.status import Step
from orderfleet.domain.transitions import shipment_origins
from orderfleet.observability import order_metrics
from orderfleet.observability.metrics import ORDERS_RECEIVED
from orderfleet.observability.tracing import exemplar
from orderfleet.store.encoding import as_json, as_text, events_without_texts
from orderfleet.store.payments import PaymentWrites, payment_conflict
from orderfleet.store.pool import Database, statement


class OrderWrites(PaymentWrites):
    """`OrderStore`, `ShipmentStore` and `AttemptLog` over Postgres.

    A progress or an event that Postgres rejects is written again with the reason in place of its texts, because an
    order must not retry forever to record a text. If Postgres rejects that as well, it raises `StoreRejected`.
    It counts what a write changed; a repeated write counts nothing.
    """

    async def receive(
        self,
        order: OrderInput,
        *,
        workflow_id: str,
        run_id: str,
        first_run_id: str,
        started_at: datetime,
        progress: Progress,
        unique_reference: bool = False,
    ) -> None:
        """Insert the order and apply `progress`; can be repeated by the same workflow execution.

        Raises:
            OrderConflict: the id was recorded by another workflow execution.
            PaymentConflict: the payment id belongs to another order; the order is recorded without it.
            ReferenceConflict: references are unique and this one belongs to another order; the order is recorded.
            StoreRejected: Postgres rejects something that the order holds.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._with_progress(
            progress,
            lambda payload: self._database.fetch(
                statement("receive"),
                order.order_id,
                workflow_id,
                run_id,
                first_run_id,
                as_text(order.owner),
                as_text(order.owner_uid),
                as_text(order.content_hash),
                as_text(order.customer.name),
                as_text(order.customer.email),
                as_json(order.items),
                as_json(order.address),
                order.payment_id,
                order.amount,
                as_text(order.currency),
                payload,
                started_at,
                None if order.deadline is None else started_at + order.deadline,
                as_text(order.reference),
                as_json(order.adjustments),
            ),
        )
        if rows and rows[0]["is_ours"]:
            if rows[0]["is_new"]:
                ORDERS_RECEIVED.inc(exemplar=exemplar())
            self._count_end(progress, rows[0], started_at)
            if not rows[0]["has_payment_id"]:
                raise payment_conflict(order.payment_id, order.order_id)
            holder = rows[0]["reference_holder"] or order.order_id
            if unique_reference and holder != order.order_id:
                raise ReferenceConflict(
                    f"reference {order.reference!r} belongs to order {holder!r}; choose another one"
                )
            return
        # No row: the other order was committed while this statement waited for it.
        holder = f"owner {rows[0]['owner'] or 'none'}, run {rows[0]['first_run_id']}" if rows else "recorded just now"
        raise OrderConflict(
            f"order id {order.order_id!r} belongs to an earlier order ({holder}); an order id is used only once"
        )

    async def record(self, order_id: str, progress: Progress) -> None:
        """Apply `progress` if its number is new; insert the missing events.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._with_progress(
            progress, lambda payload: self._database.fetch(statement("record"), order_id, payload)
        )
        self._count_end(progress, rows[0], rows[0]["created_at"])

    async def record_shipment(self, shipment: ShipmentRecord, events: Sequence[AuditEvent]) -> None:
        """Insert the shipment or change its status along `SHIPMENT_TRANSITIONS`; insert the missing events.

        Raises:
            StoreRejected: Postgres rejects something that the shipment holds.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        try:
            await self._write_shipment(shipment, events)
        except StoreRejected as error:
            texts: dict[str, str | None] = {"carrier": None, "tracking_number": None}
            if shipment.dispatch_failed_reason is not None:
                texts["dispatch_failed_reason"] = str(error)
            await self._write_shipment(shipment.model_copy(update=texts), events_without_texts(events, str(error)))

    async def attempt_failed(self, order_id: str, step: str, attempt: int, error: str, event: AuditEvent) -> None:
        """Add the event, set the order's last error, count the attempt in `retries`.

        Does nothing if the order is not recorded yet, or if the event exists.

        Args:
            order_id: of the order.
            step: name of the activity.
            attempt: its number, from 1.
            error: message of the failure.
            event: of the attempt.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        write = partial(self._database.fetch, statement("attempt_failed"), order_id, step, attempt)
        try:
            await write(as_text(error), as_json(event))
        except StoreRejected as rejected:
            [reduced] = events_without_texts([event], str(rejected))
            await write(str(rejected), as_json(reduced))

    async def _write_shipment(self, shipment: ShipmentRecord, events: Sequence[AuditEvent]) -> None:
        await self._database.fetch(
            statement("record_shipment"),
            shipment.shipment_id,
            shipment.order_id,
            shipment.attempt,
            shipment.status,
            as_text(shipment.carrier),
            as_text(shipment.tracking_number),
            shipment.attempts,
            as_text(shipment.dispatch_failed_reason),
            shipment_origins(shipment.status),
            as_json(events),
        )

    def _count_end(self, progress: Progress, row: asyncpg.Record, started_at: datetime) -> None:
        if progress.completed_at is not None and row["changed"] and row["was_open"]:
            order_metrics.count_ended(progress.step, progress.completed_at - started_at)


class PostgresOrphanStore:
    """`OrphanStore` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow.

    It ends an order in place of the order's workflow, and must never change an order that has ended.
    """

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
