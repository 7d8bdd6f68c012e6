"""Writes of the activities. Implements `OrderStore`, `ShipmentStore` and `AttemptLog`.

Each call is one statement, so one round trip and one transaction. It can be repeated: a late or repeated call changes
nothing that was written after it. The SQL decides what a write may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from orderfleet.contracts.errors import OrderTaken, PaymentTaken
from orderfleet.contracts.moves import payment_origins, shipment_origins
from orderfleet.contracts.order import OrderInput
from orderfleet.contracts.payment import PaymentIntent, PaymentRecord
from orderfleet.contracts.record import AuditEvent, Progress
from orderfleet.contracts.shipping import ShipmentRecord
from orderfleet.contracts.status import PaymentStatus
from orderfleet.observers import RecordObserver, Unwatched
from orderfleet.store.encoding import as_json, as_text, events_only
from orderfleet.store.pool import Database
from orderfleet.store.statements import statement


class OrderRecord:
    """`OrderStore`, `ShipmentStore` and `AttemptLog` over Postgres.

    Args:
        database: of the orders.
        observer: notified of what a write changed; not of a repeated write.
    """

    def __init__(self, database: Database, observer: RecordObserver | None = None) -> None:
        self._database = database
        self._observer = observer or Unwatched()

    async def receive(
        self,
        order: OrderInput,
        *,
        workflow_id: str,
        run_id: str,
        first_run_id: str,
        started_at: datetime,
        progress: Progress,
    ) -> None:
        """Insert the order and apply `progress`; can be repeated by the same workflow execution.

        Raises:
            OrderTaken: the id was recorded by another workflow execution.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._database.fetch(
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
            as_json(progress),
            started_at,
            _deadline(order, started_at),
        )
        if rows and rows[0]["is_ours"]:
            if rows[0]["is_new"]:
                self._observer.order_received()
            self._notify_end(progress, rows[0], started_at)
            return
        # No row: the other order was committed while this statement waited for it.
        holder = f"owner {rows[0]['owner'] or 'none'}, run {rows[0]['first_run_id']}" if rows else "recorded just now"
        raise OrderTaken(
            f"order id {order.order_id!r} belongs to an earlier order ({holder}); an order id is used once, ever"
        )

    async def record(self, order_id: str, progress: Progress) -> None:
        """Apply `progress` if its number is new; insert the missing events.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._database.fetch(statement("record"), order_id, as_json(progress))
        self._notify_end(progress, rows[0], rows[0]["created_at"])

    async def begin_payment(self, payment: PaymentIntent, progress: Progress | None = None) -> PaymentRecord:
        """Insert the payment as INIT unless it exists, apply `progress` if given, return the row.

        Raises:
            PaymentTaken: the payment id belongs to another order; nothing was applied.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._database.fetch(
            statement("begin_payment"),
            payment.payment_id,
            payment.order_id,
            payment.amount,
            payment.currency,
            as_json(progress) if progress is not None else events_only(()),
        )
        if not rows:
            raise _payment_taken(payment)
        row = rows[0]
        return PaymentRecord(
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            status=PaymentStatus(row["status"]),
            reference=row["reference"],
        )

    async def finish_payment(
        self,
        payment: PaymentIntent,
        status: PaymentStatus,
        reference: str | None,
        *,
        progress: Progress | None = None,
        events: Sequence[AuditEvent] = (),
    ) -> PaymentStatus:
        """Change the payment's status along `PAYMENT_MOVES`, and apply `progress` or insert `events`.

        A payment that does not exist yet is inserted with that status: a void can come before the charge.

        Returns:
            The status after the call.

        Raises:
            PaymentTaken: the payment id belongs to another order; nothing was applied.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._database.fetch(
            statement("finish_payment"),
            payment.payment_id,
            payment.order_id,
            status,
            payment.amount,
            payment.currency,
            as_text(reference),
            payment_origins(status),
            as_json(progress) if progress is not None else events_only(events),
        )
        if not rows:
            raise _payment_taken(payment)
        present = PaymentStatus(rows[0]["status"])
        if rows[0]["moved"]:
            self._observer.payment_moved(present)
        return present

    async def record_shipment(self, shipment: ShipmentRecord, events: Sequence[AuditEvent]) -> None:
        """Insert the shipment or change its status along `SHIPMENT_MOVES`; insert the missing events.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow.
        """
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

    async def attempt_failed(self, order_id: str, step: str, attempt: int, error: str, event: AuditEvent) -> None:
        """Insert the event, set the order's last error, count the attempt in `retries`.

        Does nothing if the order is not recorded yet or has the event.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        await self._database.fetch(
            statement("attempt_failed"),
            order_id,
            step,
            attempt,
            as_text(error),
            as_json(event),
        )

    def _notify_end(self, progress: Progress, row: asyncpg.Record, started_at: datetime) -> None:
        if progress.completed_at is not None and row["changed"] and row["was_open"]:
            self._observer.order_ended(progress.step, progress.completed_at - started_at)


def _deadline(order: OrderInput, started_at: datetime) -> datetime | None:
    return None if order.deadline is None else started_at + order.deadline


def _payment_taken(payment: PaymentIntent) -> PaymentTaken:
    return PaymentTaken(f"payment id {payment.payment_id!r} belongs to another order than {payment.order_id!r}")
