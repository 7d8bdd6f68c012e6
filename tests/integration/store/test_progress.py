from __future__ import annotations

import asyncio
import json
import random

import asyncpg
import pytest

from orderfleet.domain.events import AuditEvent, EventKind
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, SpecOutcome, SpecResult, Step
from orderfleet.store.pool import statement
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.factories import ADDRESS, ELSEWHERE
from support.polling import eventually
from support.sample_rows import AT, CHARGE, UNDO, event, payment, progress, receive, refund, shipment


@pytest.fixture(autouse=True)
async def received(writes: OrderWrites) -> None:
    await receive(writes)


async def test_progress_sets_every_field(writes: OrderWrites, reads: OrderReads) -> None:
    declared = SpecResult(generation=4, outcome=SpecOutcome.REJECTED, reason="too late")
    given = progress(
        2,
        Step.CANCELED,
        approved=True,
        canceled=True,
        cancel_reason="changed my mind",
        dispatch_failed_reason="no carrier",
        last_error="boom",
        address=ELSEWHERE,
        retries={"charge": 2},
        declared=declared,
        completed_at=AT,
    )
    await writes.record("ord-1", given)
    found = await reads.order("ord-1")
    assert found is not None
    for field in ("step", "approved", "canceled", "cancel_reason", "dispatch_failed_reason", "last_error", "address"):
        assert getattr(found.status, field) == getattr(given, field)
    assert (found.status.retries, found.status.declared, found.status.completed_at) == ({"charge": 2}, declared, AT)


async def test_late_progress_is_not_applied_and_its_events_are_kept(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.record("ord-1", progress(3, Step.SHIPPING, "three", approved=True))
    await writes.record("ord-1", progress(2, Step.CHARGE, "two", last_error="late"))
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.status.step, found.status.approved, found.status.last_error) == (Step.SHIPPING, True, None)
    assert len(await reads.events("ord-1")) == 3


async def test_repeated_progress_changes_nothing(writes: OrderWrites, reads: OrderReads) -> None:
    given = progress(2, Step.CHARGE, "two", retries={"charge": 1})
    await writes.record("ord-1", given)
    before = await reads.order("ord-1")
    await writes.record("ord-1", given)
    assert await reads.order("ord-1") == before
    assert len(await reads.events("ord-1")) == 2


async def test_every_change_raises_the_version_and_stores_its_transaction(
    writes: OrderWrites, sql: asyncpg.Connection
) -> None:
    seen = [await sql.fetchrow("select version, changed_xid, updated_at from orders")]
    for number in (2, 3):
        await writes.record("ord-1", progress(number, Step.CHARGE))
        seen.append(await sql.fetchrow("select version, changed_xid, updated_at from orders"))
    assert [row["version"] for row in seen] == sorted({row["version"] for row in seen})
    assert len({row["changed_xid"] for row in seen}) == 3
    assert [row["updated_at"] for row in seen] == sorted(row["updated_at"] for row in seen)


async def test_events_only_raise_the_version(writes: OrderWrites, reads: OrderReads) -> None:
    before = await reads.order("ord-1")
    await writes.record("ord-1", progress(1, Step.RECEIVE, "another"))
    after = await reads.order("ord-1")
    assert before is not None
    assert after is not None
    assert after.version > before.version


async def test_progress_without_address_keeps_the_address(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.record("ord-1", progress(2, Step.CHARGE))
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.address == ADDRESS


async def test_retries_are_merged(writes: OrderWrites, reads: OrderReads) -> None:
    await writes.record("ord-1", progress(2, Step.CHARGE, retries={"receive": 1}))
    await writes.record("ord-1", progress(3, Step.CHARGE, retries={"charge": 2}))
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.retries == {"receive": 1, "charge": 2}


async def test_progress_of_an_unknown_order_is_an_error(writes: OrderWrites) -> None:
    with pytest.raises(asyncpg.NoDataFoundError, match="ord-2 is not recorded"):
        await writes.record("ord-2", progress(2, Step.CHARGE))


async def test_concurrent_progress_in_any_order_is_recorded_once(writes: OrderWrites, reads: OrderReads) -> None:
    given = [progress(number, Step.CHARGE, f"e{number}", f"f{number}") for number in range(2, 22)] * 2
    random.Random(7).shuffle(given)
    await asyncio.gather(*(writes.record("ord-1", one) for one in given))
    found = await reads.order("ord-1")
    events = await reads.events("ord-1")
    assert found is not None
    assert len(events) == 41
    assert len({one.id for one in events}) == 41


async def test_events_are_read_in_the_order_they_were_recorded(writes: OrderWrites, reads: OrderReads) -> None:
    recorded = [
        AuditEvent(key=f"k{number}", kind=EventKind.CHARGED, step=Step.CHARGE, at=AT, detail={"amount": "1.10", "n": n})
        for number, n in enumerate([{"deep": [1, 2.5, None, "ü"]}, "x"])
    ]
    await writes.record("ord-1", progress(2, Step.CHARGE).model_copy(update={"events": tuple(recorded)}))
    first, *rest = await reads.events("ord-1")
    assert [(one.kind, one.step, one.at, one.detail) for one in rest] == [
        (one.kind, one.step, one.at, one.detail) for one in recorded
    ]
    assert await reads.events("ord-1", after=first.id) == rest
    assert await reads.events("ord-1", limit=1) == [first]


@pytest.mark.parametrize(
    "statement", ["update events set kind = 'x'", "delete from events", "truncate events", "truncate orders cascade"]
)
async def test_events_are_append_only(sql: asyncpg.Connection, reads: OrderReads, statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await sql.execute(statement)
    assert len(await reads.events("ord-1")) == 1


async def test_failed_attempt_records_event_error_and_count(writes: OrderWrites, reads: OrderReads) -> None:
    failed = event("run/1/2", EventKind.ATTEMPT_FAILED, Step.CHARGE, attempt=2)
    for _ in range(2):
        await writes.attempt_failed("ord-1", "charge", 2, "ProviderUnavailable: later", failed)
    await writes.attempt_failed("ord-1", "charge", 1, "late", event("run/1/1", EventKind.ATTEMPT_FAILED, Step.CHARGE))
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.status.retries, found.status.last_error) == ({"charge": 2}, "late")
    assert [one.detail for one in await reads.events("ord-1")][1:] == [{"attempt": 2}, {}]


async def test_failed_attempt_of_an_ended_order_does_not_change_its_last_error(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await writes.record("ord-1", progress(2, Step.SHIPPED, completed_at=AT))
    await writes.attempt_failed("ord-1", "charge", 1, "late", event("run/1/1", EventKind.ATTEMPT_FAILED, Step.CHARGE))
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.last_error is None
    assert len(await reads.events("ord-1")) == 2


async def test_failed_attempt_after_the_end_is_counted_only_while_a_refund_is_pending(
    writes: OrderWrites, reads: OrderReads
) -> None:
    async def charge() -> None:
        await writes.finish_payment(payment(), PaymentStatus.CHARGED, CHARGE)

    async def begin_refund() -> None:
        await writes.begin_refund("pay-ord-1", "ord-1", UNDO, undo=True)

    become = {
        PaymentStatus.CHARGED: charge,
        PaymentStatus.REFUNDING: begin_refund,
        PaymentStatus.REFUNDED: lambda: refund(writes),
    }

    async def retries_after(status: PaymentStatus, step: str) -> dict[str, int]:
        await become[status]()
        failed = event(f"run/{step}/1", EventKind.ATTEMPT_FAILED, Step.CANCELED)
        await writes.attempt_failed("ord-1", step, 1, "no answer", failed)
        found = await reads.order("ord-1")
        assert found is not None
        return found.status.retries

    await writes.begin_payment(payment())
    await charge()
    await writes.record("ord-1", progress(2, Step.CANCELED, completed_at=AT))
    assert await retries_after(PaymentStatus.CHARGED, "refund") == {"refund": 1}
    assert await retries_after(PaymentStatus.REFUNDING, "void") == {"refund": 1, "void": 1}
    # The order has settled: its readers expect no further change.
    assert await retries_after(PaymentStatus.REFUNDED, "record") == {"refund": 1, "void": 1}
    assert [one.kind for one in await reads.events("ord-1")].count(EventKind.ATTEMPT_FAILED) == 3


async def test_failed_attempt_of_an_unknown_order_is_ignored(writes: OrderWrites) -> None:
    await writes.attempt_failed("ord-2", "receive", 1, "boom", event("run/1/1", EventKind.ATTEMPT_FAILED))


async def test_failed_attempts_and_progress_with_the_same_events_do_not_deadlock(
    writes: OrderWrites, reads: OrderReads
) -> None:
    failed = [event(f"f{number}", EventKind.ATTEMPT_FAILED, Step.CHARGE) for number in range(10)]
    await asyncio.gather(
        *(writes.attempt_failed("ord-1", "charge", number, "x", one) for number, one in enumerate(failed)),
        *(
            writes.record("ord-1", progress(2 + number, Step.CHARGE).model_copy(update={"events": tuple(failed)}))
            for number in range(10)
        ),
    )
    assert len(await reads.events("ord-1")) == 11


async def test_events_of_an_order_are_read_by_index(reads: OrderReads, sql: asyncpg.Connection) -> None:
    await sql.execute(
        "insert into events (order_id, key, kind, step, at, received_month)"
        " select 'ord-1', 'mine-' || n, 'approved', 'charge', now(), received_month"
        " from generate_series(1, 30) n, orders"
    )
    await sql.execute(
        "set session_replication_role = replica;"
        "insert into events (order_id, key, kind, step, at, received_month)"
        " select 'old-' || n / 8, n, 'approved', 'charge', now(), received_month"
        " from generate_series(1, 40000) n, orders; analyze events"
    )
    look = "explain (analyze, buffers, format json) " + statement("events")
    plan = json.loads(await sql.fetchval(look, "ord-1", 0, 10))[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60  # all events are in more than 400
    found = await reads.events("ord-1", limit=12)
    assert [one.id for one in found] == sorted(one.id for one in found)
    rest = await reads.events("ord-1", after=found[-1].id)
    assert len(found) + len(rest) == 31


async def test_writer_that_waited_for_a_lock_writes_the_newest_version(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    other = sql.transaction()
    await other.start()
    await sql.execute("update orders set step = 'charge'")
    waiting = asyncio.create_task(writes.record_shipment(shipment(ShipmentStatus.PREPARED), [event("s")]))

    async def waits() -> bool:
        return bool(await sql.fetchval("select count(*) from pg_locks where not granted"))

    await eventually(waits)
    await other.commit()
    await waiting
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.version, found.status.step) == (4, Step.CHARGE)  # received as 2
