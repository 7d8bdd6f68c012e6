"""Facts of the ledger are never refused or changed, and everything else is derived from them."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from orderfleet.domain.events import EventKind
from orderfleet.domain.ledger import EntryKind, EntrySource, PaymentEntry, RefundLine, RefundRequest
from orderfleet.domain.payment import (
    Authorization,
    Capture,
    Movement,
    MovementKind,
    Refund,
    VoidOutcome,
)
from orderfleet.domain.payment_ports import PaymentFilter
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.erasure import erase, prune
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.ledger_rows import RandomOperations, authorize, charge, fact, refund_all
from support.sample_rows import AT, CHARGE, event, payment, progress, receive, sample_order

PAID = ("pay-ord-1", "ord-1")
TOTAL = 3130
KEPT = "status authorized released captured refunded charged_back open_refunds refunding authorizing"


async def derived_differs(sql: asyncpg.Connection) -> list[str]:
    """The columns of payments that differ from what the entries and intents derive."""
    stored = dict(await sql.fetchrow(f"select {', '.join(KEPT.split())} from payments"))
    derived = dict(await sql.fetchrow(f"select {', '.join(KEPT.split())} from derived_payments"))
    return [f"{name}: {stored[name]}, derived {derived[name]}" for name in stored if stored[name] != derived[name]]


async def test_fact_beyond_every_limit_is_recorded_and_shown_as_a_discrepancy(
    writes: OrderWrites, sql: asyncpg.Connection
) -> None:
    """A dispute of everything after a refund, and a capture without an intent."""
    await receive(writes)
    await charge(writes)
    await refund_all(writes, RefundRequest(refund_id="r1", amount=1000))
    row = await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGED_BACK, "dp_1", TOTAL))
    assert row is not None
    assert (row.is_new, row.status) == (True, PaymentStatus.REFUNDED)
    await writes.record_fact("pay-ord-1", fact(EntryKind.CAPTURED, "ch_2", 1))
    found = await sql.fetch("select kind, amount from payment_discrepancies order by kind")
    assert [tuple(one) for one in found] == [("captured_more_than_ordered", 1), ("returned_more_than_captured", 999)]
    assert await derived_differs(sql) == []


async def test_repeated_fact_changes_nothing_and_another_amount_does_not_count(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    await receive(writes)
    await charge(writes)
    back = fact(EntryKind.REFUNDED, "re_9", 500)
    opened = event("refunded/re_9", EventKind.REFUNDED)
    rows = [await writes.record_fact("pay-ord-1", back, [opened]) for _ in range(2)]
    assert [row is not None and row.is_new for row in rows] == [True, False]
    version = await sql.fetchval("select version from orders")
    for other in (fact(EntryKind.REFUNDED, "re_9", 600), fact(EntryKind.REFUNDED, "re_8", 500, currency="EUR")):
        for _ in range(2):
            row = await writes.record_fact("pay-ord-1", other)
            assert row is not None
            assert row.amounts.refunded == 500
    found = await sql.fetch("select kind, amount, currency from payment_discrepancies order by amount")
    assert [tuple(one) for one in found] == [("contradicting_entry", 500, "EUR"), ("contradicting_entry", 600, "USD")]
    assert await sql.fetchval("select version from orders") == version + 2
    assert [line.kind for line in await reads.events("ord-1")].count("refunded") == 1


async def test_fact_of_an_unknown_payment_is_reported(writes: OrderWrites) -> None:
    assert await writes.record_fact("pay-none", fact(EntryKind.REFUNDED, "re_1", 1)) is None


async def test_webhook_with_our_key_is_the_answer_that_was_lost(writes: OrderWrites, reads: OrderReads) -> None:
    """The provider's report ends the open intent, and the late answer changes nothing."""
    await receive(writes)
    await charge(writes)
    (part,) = (await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=100))).parts
    movement = Movement(kind=MovementKind.REFUNDED, key=part.key, reference="re_1", amount=100, at=AT)
    entry = PaymentEntry.of(movement, 1, "USD", EntrySource.WEBHOOK)
    row = await writes.record_fact("pay-ord-1", entry)
    assert row is not None
    assert (row.status, row.amounts.refunded) == (PaymentStatus.PARTIALLY_REFUNDED, 100)
    late = await writes.finish_refund(part, Refund(reference="re_1"))
    assert late.amounts.refunded == 100
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert [(one.kind, one.source, one.reference) for one in found.entries] == [
        ("captured", "order", "ch_1"),
        ("refunded", "webhook", "re_1"),
    ]


async def test_refund_that_the_provider_could_not_pay_out_can_be_made_again(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await receive(writes)
    await charge(writes)
    line = RefundLine(line="1", qty=3, pieces=3, amount=3030)
    decision = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", lines=(line,)))
    await writes.finish_refund(decision.parts[0], Refund(reference="re_1"))
    failed = Movement(kind=MovementKind.REFUND_FAILED, key=decision.parts[0].key, reference="re_1", amount=3030, at=AT)
    await writes.record_fact("pay-ord-1", PaymentEntry.of(failed, 1, "USD", EntrySource.WEBHOOK))
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert (found.status, found.refunded, found.refundable) == (PaymentStatus.CHARGED, 0, TOTAL)
    assert [one.status for one in found.intents] == ["refused"]
    again = await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", lines=(line,)))
    assert again.amount == 3030


async def test_charge_back_that_is_won_can_be_refunded_again(writes: OrderWrites) -> None:
    await receive(writes)
    await charge(writes)
    await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGED_BACK, "dp_1", TOTAL))
    lost = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=1))
    assert (lost.refundable, lost.parts) == (0, ())
    row = await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGE_BACK_REVERSED, "dp_1", TOTAL))
    assert row is not None
    assert row.status is PaymentStatus.CHARGED
    assert (await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", amount=1))).refundable == TOTAL - 1


async def test_late_success_after_the_void_is_pending_money(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    await receive(writes)
    await writes.fence_payment(payment())
    await writes.finish_payment(payment(), PaymentStatus.VOIDED, outcome=VoidOutcome.NEVER_CHARGED)
    await writes.record("ord-1", progress(2, Step.CANCELED, completed_at=AT))
    assert await sql.fetch("select from pending_payments") == []
    row = await writes.record_fact("pay-ord-1", fact(EntryKind.CAPTURED, "pay-ord-1", TOTAL))
    assert row is not None
    assert (row.status, row.fenced) == (PaymentStatus.CHARGED, True)
    assert [one["status"] for one in await sql.fetch("select status from pending_payments")] == ["CHARGED"]


@pytest.mark.parametrize("seed", range(12))
async def test_status_and_sums_equal_what_entries_derive_after_any_operations(
    writes: OrderWrites, sql: asyncpg.Connection, seed: int
) -> None:
    await receive(writes)
    operations = RandomOperations(writes, random.Random(seed))
    await operations.begin()
    for _ in range(40):
        name = await operations.any()
        assert await derived_differs(sql) == [], name


@pytest.mark.parametrize("seed", range(6))
async def test_intents_alone_never_exceed_what_was_authorized_and_captured(
    writes: OrderWrites, sql: asyncpg.Connection, seed: int
) -> None:
    """The provider answers what it is asked, so nothing shows as a discrepancy."""
    dice = random.Random(seed)
    await receive(writes)
    await authorize(writes, Authorization(reference="au_1", multiple_captures=seed % 2 == 0))
    for number in range(30):
        if dice.random() < 0.5:
            decision = await writes.begin_capture(*PAID, dice.randint(1, TOTAL))
            if decision.capture is not None:
                answer = dice.choice([Capture(reference=f"cp_{number}"), None])
                await writes.finish_capture(decision.capture, answer)
            elif decision.refused == "not_authorized":
                begun = await writes.begin_authorization(*PAID)
                if begun.authorization is not None:
                    answer = Authorization(reference=f"au_{number}")
                    await writes.finish_payment(begun.authorization, PaymentStatus.AUTHORIZED, answer)
        else:
            request = RefundRequest(refund_id=f"r{number}", amount=dice.randint(1, TOTAL))
            for part in (await writes.begin_refund(*PAID, request)).parts:
                await writes.finish_refund(part, dice.choice([Refund(reference=f"re_{number}"), None]))
    assert await sql.fetch("select * from payment_discrepancies") == []
    assert await sql.fetchval("select captured <= amount and refunded <= captured from payments")


async def test_entries_are_append_only(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    await receive(writes)
    await charge(writes)
    for statement in (
        "delete from payment_entries",
        "update payment_entries set amount = 0",
        "truncate payment_entries",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await sql.execute(statement)


async def test_status_of_a_payment_cannot_be_written(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    await receive(writes)
    await charge(writes)
    await sql.execute("update payments set status = 'VOIDED'")
    assert await sql.fetchval("select status from payments") == PaymentStatus.CHARGED


async def test_erasure_and_prune_keep_the_money_and_erase_texts(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection, postgres_url: str
) -> None:
    await receive(writes)
    await charge(writes)
    secret = "Ann returned the pen"
    (part,) = (await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=100, reason=secret))).parts
    await writes.finish_refund(part, None, error=f"account of Ann: {secret}")
    await sql.execute("update payments set method = 'pm_ann'")
    await writes.record("ord-1", progress(2, Step.SHIPPED, completed_at=AT))
    before = await reads.payment("pay-ord-1")
    assert (await erase(postgres_url, "ann@example.com")).erased == ("ord-1",)
    after = await reads.payment("pay-ord-1")
    assert before is not None
    assert after is not None
    assert (after.entries, after.captured, after.method) == (before.entries, TOTAL, "")
    assert [(one.reason, one.error) for one in after.intents] == [("erased", "erased")]
    assert sum([count async for count in prune(postgres_url, AT + timedelta(days=1))]) == 1
    assert await reads.payment("pay-ord-1") == after


async def test_views_for_finance_sum_by_day_and_currency(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    for number in range(1, 4):
        await receive(writes, sample_order(f"ord-{number}"))
    await charge(writes, "ord-1")
    await refund_all(writes, RefundRequest(refund_id="r1", amount=1000), "ord-1")
    await authorize(writes, order_id="ord-2")
    await authorize(writes, order_id="ord-3")
    begun = await writes.begin_capture("pay-ord-3", "ord-3")
    assert begun.capture is not None
    await writes.finish_capture(begun.capture, Capture(reference="cp_1"))
    await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGED_BACK, "dp_1", 30))
    today = datetime.now(UTC).date()
    totals = await sql.fetch(
        "select day, currency, captured, refunded, charged_back from payment_totals_by_day order by day"
    )
    assert [tuple(row) for row in totals] == [
        (date(2026, 3, 1), "USD", 0, 0, 30),
        (today, "USD", 2 * TOTAL, 1000, 0),
    ]
    opened = await sql.fetch("select day, currency, payments, amount from open_authorizations_by_day")
    assert [tuple(row) for row in opened] == [(today, "USD", 1, TOTAL)]


async def test_pages_list_payments_newest_order_first_and_filter(writes: OrderWrites, reads: OrderReads) -> None:
    for number in range(5):
        order_id = f"ord-{number}"
        await receive(writes, sample_order(order_id))
        await charge(writes, order_id)
    await refund_all(writes, RefundRequest(refund_id="r1"), "ord-2")
    seen, cursor = [], None
    while True:
        page, cursor = await reads.payments_page(PaymentFilter(), after=cursor, limit=2)
        seen += [one.order_id for one in page]
        if cursor is None:
            break
    assert seen == ["ord-4", "ord-3", "ord-2", "ord-1", "ord-0"]
    refunded, _ = await reads.payments_page(PaymentFilter(status=PaymentStatus.REFUNDED))
    assert [one.order_id for one in refunded] == ["ord-2"]
    assert await reads.payments_page(PaymentFilter(currency="EUR")) == ([], None)
    assert await reads.payments_page(PaymentFilter(created_before=AT)) == ([], None)


async def test_status_of_an_order_shows_the_amounts_of_its_payment(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    await charge(writes)
    await refund_all(writes, RefundRequest(refund_id="r1", amount=1000))
    found = await reads.order("ord-1")
    assert found is not None
    shown = found.status.payment
    assert (shown.status, shown.authorized, shown.captured, shown.refunded) == (
        PaymentStatus.PARTIALLY_REFUNDED,
        Decimal("31.30"),
        Decimal("31.30"),
        Decimal("10.00"),
    )
    assert CHARGE.reference not in shown.model_dump_json()
