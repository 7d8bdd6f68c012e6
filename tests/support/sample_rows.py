"""Sample orders, payments, shipments, progress and events for tests of the order store and its readers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg

from orderfleet.domain import names
from orderfleet.domain.events import AuditEvent, EventKind, Progress
from orderfleet.domain.ledger import RefundRequest
from orderfleet.domain.order import Customer, Item, OrderInput
from orderfleet.domain.payment import Charge, PaymentIntent, Refund
from orderfleet.domain.shipment import ShipmentRecord
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.store.writes import OrderWrites
from support.factories import order_input

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


CHARGE = Charge(reference="ch_1")
UNDO = RefundRequest(refund_id=names.ORDER_REFUND)


def sample_order(order_id: str = "ord-1", **fields: Any) -> OrderInput:
    """An order of 31.30 with a customer and an owner."""
    given = {
        "items": (Item(sku="pen", qty=3, price=Decimal("10.10")), Item(sku="ink", qty=1)),
        "customer": Customer(name="Ann", email="ann@example.com"),
        "owner": "shop/ord-1",
        "owner_uid": "uid-1",
        "content_hash": "c0ffee",
    }
    return order_input(order_id, **{**given, **fields})


def event(key: str, kind: EventKind = EventKind.RECEIVED, step: Step = Step.RECEIVE, **detail: Any) -> AuditEvent:
    return AuditEvent(key=key, kind=kind, step=step, at=AT, detail=detail)


def progress(seq: int, step: Step = Step.RECEIVE, *keys: str, **fields: Any) -> Progress:
    return Progress(seq=seq, step=step, events=tuple(event(key, step=step) for key in keys), **fields)


def payment(order_id: str = "ord-1", payment_id: str | None = None, amount: str = "31.30") -> PaymentIntent:
    return PaymentIntent(
        payment_id=payment_id or names.default_payment_id(order_id),
        order_id=order_id,
        amount=Decimal(amount),
        currency="USD",
    )


def shipment(status: ShipmentStatus, order_id: str = "ord-1", attempt: int = 1, **fields: Any) -> ShipmentRecord:
    return ShipmentRecord(
        shipment_id=names.shipment_id(order_id, attempt), order_id=order_id, attempt=attempt, status=status, **fields
    )


async def receive(
    writes: OrderWrites,
    given: OrderInput | None = None,
    first: Progress | None = None,
    *,
    run_id: str = "run-1",
    unique_reference: bool = False,
) -> OrderInput:
    given = given or sample_order()
    await writes.receive(
        given,
        workflow_id=names.order_workflow_id(given.order_id),
        run_id=run_id,
        first_run_id="run-1",
        started_at=AT,
        progress=first or progress(1, Step.RECEIVE, "received"),
        unique_reference=unique_reference,
    )
    return given


async def refund(writes: OrderWrites, of: PaymentIntent | None = None, *, events: Sequence[AuditEvent] = ()) -> None:
    """Refund what is left of a payment, as the undo of its order does."""
    of = of or payment()
    decision = await writes.begin_refund(of.payment_id, of.order_id, UNDO, undo=True, events=events)
    for part in decision.parts:
        await writes.finish_refund(part, Refund(reference="re_1"), events=events)


async def force_payment_status(sql: asyncpg.Connection, order_id: str, status: PaymentStatus | str) -> None:
    """Set the status of a payment without its ledger, which the database's triggers do not allow."""
    await sql.execute("set session_replication_role = replica")
    await sql.execute("update payments set status = $2 where order_id = $1", order_id, status)
    await sql.execute("reset session_replication_role")
