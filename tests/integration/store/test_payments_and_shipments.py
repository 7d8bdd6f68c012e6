from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from orderfleet.domain.errors import PaymentConflict, StoreRejected
from orderfleet.domain.events import AuditEvent, EventKind
from orderfleet.domain.money import MAX_AMOUNT
from orderfleet.domain.payment import Refund
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, ShipmentView, Step
from orderfleet.domain.transitions import SHIPMENT_TRANSITIONS
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.sample_rows import CHARGE, UNDO, event, payment, progress, receive, sample_order, shipment


@pytest.fixture(autouse=True)
async def received(writes: OrderWrites) -> None:
    await receive(writes)


async def test_payment_begins_once(writes: OrderWrites, reads: OrderReads) -> None:
    begin = progress(2, Step.CHARGE, "charge")
    first = await writes.begin_payment(payment(), begin)
    before = await reads.order("ord-1")
    assert await writes.begin_payment(payment(), begin) == first.model_copy(update={"is_new": False})
    assert first.is_new
    assert (first.status, first.reference) == (PaymentStatus.INIT, None)
    assert await reads.order("ord-1") == before
    assert before is not None
    assert (before.status.step, before.status.payment.status) == (Step.CHARGE, PaymentStatus.INIT)


async def test_charged_payment_that_begins_again_is_charged(writes: OrderWrites) -> None:
    await writes.begin_payment(payment(), progress(2, Step.CHARGE))
    ended = await writes.finish_payment(
        payment(), PaymentStatus.CHARGED, CHARGE, progress=progress(3, Step.CHARGE, "charged")
    )
    again = await writes.begin_payment(payment(), progress(2, Step.CHARGE))
    assert (ended.status, again.status, again.reference) == (PaymentStatus.CHARGED, PaymentStatus.CHARGED, "ch_1")


async def test_payment_id_of_another_order_is_a_conflict_and_nothing_is_applied(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await writes.begin_payment(payment(payment_id="shared"), progress(2, Step.CHARGE))
    other = await receive(writes, sample_order("ord-2", payment_id="shared"))
    before = await reads.order(other.order_id), await reads.order("ord-1")
    taken = payment("ord-2", "shared")
    with pytest.raises(PaymentConflict, match="'shared' belongs to another order"):
        await writes.begin_payment(taken, progress(2, Step.CHARGE, "charge"))
    with pytest.raises(PaymentConflict):
        await writes.finish_payment(taken, PaymentStatus.VOIDED, progress=progress(2, Step.FAILED, "void"))
    assert (await reads.order("ord-2"), await reads.order("ord-1")) == before
    found = await reads.order("ord-2")
    assert found is not None
    assert found.status.payment.status is None  # the other order's payment is not shown as its own


async def test_concurrent_orders_with_one_payment_id_begin_it_once(writes: OrderWrites) -> None:
    for number in range(2, 8):
        await receive(writes, sample_order(f"ord-{number}"))
    answers = await asyncio.gather(
        *(writes.begin_payment(payment(f"ord-{number}", "one"), progress(2, Step.CHARGE)) for number in range(2, 8)),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert sum(isinstance(answer, PaymentConflict) for answer in answers) == 5


async def test_void_before_the_charge_is_recorded(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.finish_payment(payment(), PaymentStatus.VOIDED, progress=progress(2, Step.CANCELED))
    began = await writes.begin_payment(payment(), progress(3, Step.CHARGE))
    assert began.status is PaymentStatus.VOIDED
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.payment.status is PaymentStatus.VOIDED


async def test_refund_recorded_with_events_only_changes_payment_and_version(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE, progress=progress(2, Step.SHIPPED))
    (part,) = (await writes.begin_refund("pay-ord-1", "ord-1", UNDO, undo=True)).parts

    async def begin(recorded: AuditEvent) -> None:
        again = await writes.begin_refund("pay-ord-1", "ord-1", UNDO, undo=True, events=[recorded])
        assert (again.amount, again.is_new) == (3130, False)

    async def finish(recorded: AuditEvent) -> None:
        await writes.finish_refund(part, Refund(reference="re_1"), events=[recorded])

    before = await reads.order("ord-1")
    assert before is not None
    assert (before.status.payment.status, before.status.step) == (PaymentStatus.REFUNDING, Step.SHIPPED)
    for _ in range(2):
        await begin(event("refund/begun", EventKind.REFUND_PENDING, Step.FAILED))
        await finish(event("refund/done", EventKind.REFUNDED, Step.FAILED))
    after = await reads.order("ord-1")
    assert after is not None
    assert (after.status.payment.status, after.version) == (PaymentStatus.REFUNDED, before.version + 1)
    assert (after.status.payment.captured, after.status.payment.refunded) == (Decimal("31.30"), Decimal("31.30"))
    assert [line.kind for line in await reads.events("ord-1")] == ["received", "refunded"]


async def test_repeated_status_changes_nothing(writes: OrderWrites, reads: OrderReads) -> None:
    done = progress(2, Step.CHARGE, "charged")
    await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE, progress=done)
    before = await reads.order("ord-1")
    await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE, progress=done)
    assert await reads.order("ord-1") == before


@pytest.mark.parametrize("amount", [0, 1, 1000, MAX_AMOUNT])
async def test_payment_keeps_its_amount_exactly(writes: OrderWrites, sql: asyncpg.Connection, amount: int) -> None:
    await writes.begin_payment(payment().model_copy(update={"amount": amount}), progress(2, Step.CHARGE))
    assert await sql.fetchval("select amount from payments") == amount


@pytest.mark.parametrize("origin", list(ShipmentStatus))
async def test_shipment_status_changes_along_its_transitions_only(
    writes: OrderWrites, sql: asyncpg.Connection, origin: ShipmentStatus
) -> None:
    for target in ShipmentStatus:
        await sql.execute("delete from shipments")
        await writes.record_shipment(shipment(origin), [])
        await writes.record_shipment(shipment(target), [])
        expected = target if target in SHIPMENT_TRANSITIONS[origin] else origin
        assert await sql.fetchval("select status from shipments") == expected


async def test_final_shipment_status_never_returns_to_preparing() -> None:
    for end in set(ShipmentStatus) - {ShipmentStatus.PREPARING, ShipmentStatus.PREPARED, ShipmentStatus.PARKED}:
        assert not SHIPMENT_TRANSITIONS[end] & {ShipmentStatus.PREPARING, ShipmentStatus.PREPARED}


async def test_shipment_is_read_with_its_order_and_raises_its_version(writes: OrderWrites, reads: OrderReads) -> None:
    before = await reads.order("ord-1")
    failed = shipment(ShipmentStatus.FAILED, attempts=3, dispatch_failed_reason="no carrier")
    sent = shipment(ShipmentStatus.DISPATCHED, attempt=2, carrier="simulated", tracking_number="SIM1", attempts=1)
    recorded = event("s/1", EventKind.DISPATCHED, Step.SHIPPING, tracking_number="SIM1")
    await writes.record_shipment(sent, [recorded])
    await writes.record_shipment(failed, [])
    after = await reads.order("ord-1")
    assert before is not None
    assert after is not None
    assert after.status.shipments == (
        ShipmentView(
            id="shipping-ord-1-1", status=ShipmentStatus.FAILED, attempts=3, dispatch_failed_reason="no carrier"
        ),
        ShipmentView(
            id="shipping-ord-1-2",
            status=ShipmentStatus.DISPATCHED,
            carrier="simulated",
            tracking_number="SIM1",
            attempts=1,
        ),
    )
    assert after.version == before.version + 2
    await writes.record_shipment(sent, [recorded])
    assert await reads.order("ord-1") == after


async def test_late_answer_of_the_carrier_fills_in_missing_fields(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.record_shipment(shipment(ShipmentStatus.DELIVERED), [])
    await writes.record_shipment(
        shipment(ShipmentStatus.DISPATCHED, carrier="simulated", tracking_number="SIM1", attempts=2), []
    )
    found = await reads.order("ord-1")
    assert found is not None
    (kept,) = found.status.shipments
    assert (kept.status, kept.tracking_number, kept.attempts) == (ShipmentStatus.DELIVERED, "SIM1", 2)


async def test_dispatched_shipment_has_no_failure_reason(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.record_shipment(shipment(ShipmentStatus.FAILED, dispatch_failed_reason="timed out"), [])
    await writes.record_shipment(shipment(ShipmentStatus.DISPATCHED, carrier="c", tracking_number="t"), [])
    await writes.record_shipment(shipment(ShipmentStatus.FAILED, dispatch_failed_reason="timed out"), [])
    found = await reads.order("ord-1")
    assert found is not None
    (kept,) = found.status.shipments
    assert (kept.status, kept.dispatch_failed_reason) == (ShipmentStatus.DISPATCHED, None)


async def test_shipment_id_of_another_order_is_an_error_and_changes_nothing(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    await receive(writes, sample_order("ord-2"))
    await sql.execute(
        "insert into shipments (shipment_id, order_id, attempt, status)"
        " values ('shipping-ord-2-1', 'ord-1', 1, 'preparing')"
    )
    before = await reads.order("ord-1"), await reads.order("ord-2")
    sent = shipment(ShipmentStatus.DISPATCHED, "ord-2", carrier="simulated", tracking_number="SIM1")
    with pytest.raises(StoreRejected, match="shipment shipping-ord-2-1 belongs to another order"):
        await writes.record_shipment(sent, [event("s/1", EventKind.DISPATCHED)])
    assert (await reads.order("ord-1"), await reads.order("ord-2")) == before


async def test_many_orders_are_read_at_once(writes: OrderWrites, reads: OrderReads) -> None:
    for number in range(2, 5):
        await receive(writes, sample_order(f"ord-{number}"))
    found = await reads.orders(["ord-1", "ord-3", "ord-9"])
    assert sorted(found) == ["ord-1", "ord-3"]
    assert found["ord-3"] == await reads.order("ord-3")
    assert await reads.order("ord-9") is None
    assert await reads.orders([]) == {}
