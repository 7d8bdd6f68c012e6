"""Values that Postgres rejects are a final error, and a rejected text keeps no order from being recorded."""

from __future__ import annotations

import asyncpg
import pytest

from orderfleet.domain.errors import StoreRejected
from orderfleet.domain.events import EventKind
from orderfleet.domain.order import Customer
from orderfleet.domain.payment import Charge
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites, PostgresOrphanStore
from support.sample_rows import event, payment, progress, receive, sample_order, shipment

POISON = "poison"
"""A text that the test's constraints reject."""


@pytest.fixture
async def refusing(sql: asyncpg.Connection) -> None:
    """Constraints reject the text, as Postgres rejects values that it never accepts."""
    for table, column in (
        ("orders", "last_error"),
        ("orders", "cancel_reason"),
        ("orders", "address::text"),
        ("events", "detail::text"),
        ("payments", "reference"),
        ("shipments", "tracking_number"),
        ("shipments", "dispatch_failed_reason"),
    ):
        await sql.execute(f"alter table {table} add check ({column} not like '%{POISON}%')")


async def test_email_address_longer_than_an_index_row_is_rejected(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    # Text that repeats would be compressed until it fits.
    long = "".join([await sql.fetchval("select md5($1)", str(number)) for number in range(100)])
    with pytest.raises(StoreRejected, match=r"index row size \d+ exceeds btree version 4 maximum 2704"):
        await receive(writes, sample_order(customer=Customer.model_construct(name="Ann", email=long)))
    assert await sql.fetchval("select count(*) from orders") == 0


@pytest.mark.usefixtures("refusing")
async def test_rejected_progress_is_recorded_with_the_reason_in_place_of_its_texts(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await receive(writes)
    canceled = progress(2, Step.CANCELED, canceled=True, cancel_reason=POISON, last_error="harmless")
    events = (event("a", EventKind.CANCEL_REQUESTED, reason=POISON), event("b", EventKind.CANCELED, reason=POISON))
    await writes.record("ord-1", canceled.model_copy(update={"events": events}))
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.status.step, found.status.canceled) == (Step.CANCELED, True)
    assert found.status.cancel_reason is not None
    assert "CheckViolationError" in found.status.cancel_reason
    kinds = [(line.kind, line.detail["reason"]) for line in (await reads.events("ord-1"))[1:]]
    assert kinds == [(each.kind, found.status.cancel_reason) for each in events]


@pytest.mark.usefixtures("refusing")
async def test_rejected_event_of_a_payment_moves_the_payment(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    began = await writes.begin_payment(
        payment(), progress(2, Step.CHARGE).model_copy(update={"events": (event("c", reason=POISON),)})
    )
    assert began.is_new
    pending = event("o", EventKind.REFUND_PENDING, reason=POISON)
    ended = await writes.finish_payment(payment(), PaymentStatus.VOIDED, events=[pending])
    assert ended.status is PaymentStatus.VOIDED
    assert [line.kind for line in await reads.events("ord-1")][1:] == ["received", "refund_pending"]


@pytest.mark.usefixtures("refusing")
async def test_rejected_reference_is_an_error(writes: OrderWrites) -> None:
    await receive(writes)
    charge = Charge(reference=POISON)
    with pytest.raises(StoreRejected, match="payments_reference_check"):
        await writes.finish_payment(payment(), PaymentStatus.CHARGED, charge, progress=progress(2, Step.SHIPPING))


@pytest.mark.usefixtures("refusing")
async def test_shipment_with_rejected_texts_is_recorded_without_them(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    given = shipment(ShipmentStatus.FAILED, tracking_number=POISON, dispatch_failed_reason=POISON)
    await writes.record_shipment(given, [event("d", EventKind.DISPATCH_FAILED, reason=POISON)])
    found = await reads.order("ord-1")
    assert found is not None
    (kept,) = found.status.shipments
    assert (kept.status, kept.tracking_number) == (ShipmentStatus.FAILED, None)
    assert "CheckViolationError" in (kept.dispatch_failed_reason or "")
    assert (await reads.events("ord-1"))[-1].kind == "dispatch_failed"


@pytest.mark.usefixtures("refusing")
async def test_failed_attempt_with_a_rejected_error_is_counted(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    failed = event("f", EventKind.ATTEMPT_FAILED, error=POISON)
    await writes.attempt_failed("ord-1", "charge", 2, POISON, failed)
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.retries == {"charge": 2}
    assert "CheckViolationError" in (found.status.last_error or "")


@pytest.mark.usefixtures("refusing")
async def test_compensation_with_a_rejected_reason_ends_the_order(
    writes: OrderWrites, reads: OrderReads, database: Database
) -> None:
    await receive(writes)
    ended = event("e", EventKind.WORKFLOW_CLOSED_EXTERNALLY, reason=POISON)
    await PostgresOrphanStore(database).record_compensation("ord-1", step=Step.FAILED, reason=POISON, events=[ended])
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.ended
    assert "CheckViolationError" in (found.status.last_error or "")


async def test_key_longer_than_an_index_row_is_replaced(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    await receive(writes)
    long = "".join([await sql.fetchval("select md5($1)", str(number)) for number in range(100)])
    for _ in range(2):
        await writes.record("ord-1", progress(2, Step.CHARGE).model_copy(update={"events": (event(long),)}))
    assert len(await reads.events("ord-1")) == 2


async def test_step_that_the_schema_does_not_know_is_rejected(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    await receive(writes)
    await sql.execute("alter table orders add check (step <> 'shipping')")
    with pytest.raises(StoreRejected, match="CheckViolationError"):
        await writes.record("ord-1", progress(2, Step.SHIPPING))
