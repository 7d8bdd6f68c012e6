"""The guards of the ledger: intents that would take or return too much are refused, and facts never are."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from orderfleet.domain.errors import PaymentConflict
from orderfleet.domain.events import EventKind
from orderfleet.domain.ledger import (
    CaptureRefusal,
    EntryKind,
    IntentStatus,
    Pieces,
    RefundLine,
    RefundRefusal,
    RefundRequest,
)
from orderfleet.domain.money import pieces_value
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import Authorization, Capture, Refund, VoidOutcome
from orderfleet.domain.status import PaymentStatus, PendingCustomer
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.ledger_rows import authorize, charge, fact, refund_all, sums
from support.sample_rows import AT, CHARGE, UNDO, event, payment, receive

PAID = ("pay-ord-1", "ord-1")
TOTAL = 3130
LINE = RefundLine(line="1", qty=1, pieces=3, amount=3030)


@pytest.fixture(autouse=True)
async def received(writes: OrderWrites) -> None:
    await receive(writes)


async def test_charge_is_one_entry_that_is_authorized_and_captured(writes: OrderWrites, reads: OrderReads) -> None:
    await charge(writes)
    found = await reads.payment("pay-ord-1")
    assert found is not None
    (entry,) = found.entries
    assert (entry.kind, entry.key, entry.amount, entry.reference) == (EntryKind.CAPTURED, "pay-ord-1", TOTAL, "ch_1")
    assert (found.status, found.authorized, found.captured, found.refundable) == ("CHARGED", TOTAL, TOTAL, TOTAL)
    assert (found.authorizations, found.intents) == ((), ())


async def test_refunds_of_an_amount_end_at_what_was_captured(writes: OrderWrites) -> None:
    await charge(writes)
    first = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=2000))
    second = await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", amount=1131))
    third = await writes.begin_refund(*PAID, RefundRequest(refund_id="r3", amount=1130))
    assert (first.amount, first.refundable, first.refused) == (2000, 1130, None)
    assert (second.refused, second.refundable, second.parts) == (RefundRefusal.TOO_MUCH, 1130, ())
    assert (third.amount, third.refundable) == (1130, 0)
    assert [part.key for part in (*first.parts, *third.parts)] == ["pay-ord-1/refund/r1/1", "pay-ord-1/refund/r3/1"]


async def test_refund_before_the_charge_is_refused(writes: OrderWrites) -> None:
    refund = RefundRequest(refund_id="r1", amount=1)
    assert (await writes.begin_refund(*PAID, refund)).refused is RefundRefusal.UNKNOWN_PAYMENT
    await writes.begin_payment(payment())
    assert (await writes.begin_refund(*PAID, refund)).refused is RefundRefusal.TOO_MUCH
    assert (await writes.begin_refund("pay-ord-1", "ord-2", refund)).refused is RefundRefusal.UNKNOWN_PAYMENT


async def test_refund_id_with_the_same_content_is_the_same_refund(writes: OrderWrites, reads: OrderReads) -> None:
    await charge(writes)
    request = RefundRequest(refund_id="r1", lines=(LINE,))
    pending = event("refund/r1", EventKind.REFUND_PENDING)
    first = await writes.begin_refund(*PAID, request, events=[pending])
    again = await writes.begin_refund(*PAID, request, events=[pending])
    assert (first.is_new, again.is_new) == (True, False)
    assert again == first.model_copy(update={"is_new": False})
    other = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=5))
    assert (other.refused, other.refundable) == (RefundRefusal.CONFLICT, TOTAL - first.amount)
    await writes.finish_refund(first.parts[0], Refund(reference="re_1"))
    ended = await writes.begin_refund(*PAID, request)
    assert (ended.status, ended.amount, ended.parts) == (IntentStatus.DONE, first.amount, ())
    assert [line.kind for line in await reads.events("ord-1")].count("refund_pending") == 1


async def test_two_refunds_of_the_same_content_are_two(writes: OrderWrites) -> None:
    await charge(writes)
    decisions = [await writes.begin_refund(*PAID, RefundRequest(refund_id=f"r{n}", amount=100)) for n in range(2)]
    assert [each.refundable for each in decisions] == [3030, 2930]


async def test_refused_refund_frees_its_amount_and_its_pieces(writes: OrderWrites, reads: OrderReads) -> None:
    await charge(writes)
    top = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", lines=(LINE,)))
    middle = await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", lines=(LINE,)))
    assert (top.lines, middle.lines) == ((Pieces(line="1", start=2, end=3),), (Pieces(line="1", start=1, end=2),))
    row = await writes.finish_refund(top.parts[0], None, error="account closed")
    assert (row.status, row.amounts.refunded) == (PaymentStatus.REFUNDING, 0)
    both = await writes.begin_refund(*PAID, RefundRequest(refund_id="r3", lines=(LINE.model_copy(update={"qty": 2}),)))
    assert both.lines == (Pieces(line="1", start=0, end=1), Pieces(line="1", start=2, end=3))
    assert top.amount + middle.amount + both.amount - top.amount == 3030
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert [(one.refund_id, one.status, one.error) for one in found.intents] == [
        ("r1", "refused", "account closed"),
        ("r2", "open", None),
        ("r3", "open", None),
    ]


@pytest.mark.parametrize("step", [1, 10])
async def test_pieces_are_worth_what_python_computes(writes: OrderWrites, step: int) -> None:
    await charge(writes, amount=TOTAL, step=step)
    line = RefundLine(line="1", qty=1, pieces=7, amount=3130)
    for number in reversed(range(7)):
        decision = await writes.begin_refund(*PAID, RefundRequest(refund_id=f"r{number}", lines=(line,)))
        assert decision.lines == (Pieces(line="1", start=number, end=number + 1),)
        assert decision.amount == pieces_value(line.amount, line.pieces, number, number + 1, step)
    eighth = await writes.begin_refund(*PAID, RefundRequest(refund_id="r8", lines=(line,)))
    assert (eighth.refused, eighth.line, eighth.refundable) == (RefundRefusal.PIECES, "1", 0)


async def test_refund_of_an_amount_between_two_steps_is_refused(writes: OrderWrites, reads: OrderReads) -> None:
    await charge(writes, step=10)
    refused = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=105))
    assert (refused.refused, refused.step, refused.refundable) == (RefundRefusal.STEP, 10, TOTAL)
    # Whatever is asked for: the step is the payment's.
    refused = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=TOTAL + 1))
    assert refused.refused is RefundRefusal.STEP
    accepted = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=110))
    assert (accepted.refused, accepted.amount) == (None, 110)
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert [intent.amount for intent in found.intents] == [110]


async def test_pieces_without_value_are_refused_and_stay_free(writes: OrderWrites) -> None:
    await charge(writes, step=10)
    line = RefundLine(line="1", qty=1, pieces=3, amount=10)
    last = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", lines=(line,)))
    assert (last.amount, last.lines) == (10, (Pieces(line="1", start=2, end=3),))
    refused = await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", lines=(line,)))
    assert (refused.refused, refused.refundable) == (RefundRefusal.NO_VALUE, TOTAL - 10)
    other = RefundLine(line="2", qty=1, pieces=1, amount=100)
    with_other = await writes.begin_refund(
        *PAID, RefundRequest(refund_id="r2", lines=(other, line.model_copy(update={"qty": 2})))
    )
    assert (with_other.amount, with_other.shortfall) == (100, 0)


async def test_refund_of_lines_pays_whole_steps_of_what_a_dispute_leaves(writes: OrderWrites) -> None:
    await charge(writes, step=10)
    await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGED_BACK, "dp_1", 2505))
    decision = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", lines=(LINE,)))
    assert (decision.amount, decision.shortfall, decision.refundable) == (620, 390, 5)
    undone = await writes.begin_refund(*PAID, UNDO, undo=True)
    assert undone.amount == 5


async def test_capture_of_an_amount_between_two_steps_is_refused(writes: OrderWrites) -> None:
    await authorize(writes, step=10)
    assert (await writes.begin_capture(*PAID, 105)).refused is CaptureRefusal.STEP
    assert (await writes.begin_capture(*PAID, 110)).capture is not None


async def test_refund_of_lines_pays_what_is_left_and_records_the_shortfall(writes: OrderWrites) -> None:
    await charge(writes)
    await writes.record_fact("pay-ord-1", fact(EntryKind.CHARGED_BACK, "dp_1", 2500))
    decision = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", lines=(LINE,)))
    assert (decision.amount, decision.shortfall, decision.refundable) == (630, 380, 0)
    refused = await writes.begin_refund(*PAID, RefundRequest(refund_id="r2", lines=(LINE,)))
    assert refused.refused is RefundRefusal.TOO_MUCH


async def test_undo_fences_and_returns_what_is_left(writes: OrderWrites) -> None:
    await charge(writes)
    await refund_all(writes, RefundRequest(refund_id="r1", amount=1000))
    undo = await writes.begin_refund(*PAID, UNDO, undo=True)
    assert undo.amount == 2130
    assert (await writes.begin_refund(*PAID, RefundRequest(refund_id="r2"))).refused is RefundRefusal.FENCED
    assert (await writes.begin_refund(*PAID, UNDO, undo=True)) == undo.model_copy(update={"is_new": False})
    row = await writes.finish_refund(undo.parts[0], Refund(reference="re_2"))
    assert (row.status, row.fenced, row.amounts.refunded) == (PaymentStatus.REFUNDED, True, TOTAL)


async def test_capture_takes_what_was_authorized_once(writes: OrderWrites) -> None:
    await authorize(writes)
    first = await writes.begin_capture(*PAID)
    again = await writes.begin_capture(*PAID)
    assert first.capture is not None
    assert (first.capture.key, first.capture.amount, first.idle) == ("pay-ord-1/1/capture/1", TOTAL, None)
    assert (again.capture, again.idle is not None) == (first.capture, True)
    assert first.capture.payment.reference == "au_1"
    assert (await writes.begin_capture(*PAID, 1)).refused is CaptureRefusal.CONFLICT
    for _ in range(2):
        row = await writes.finish_capture(first.capture, Capture(reference="cp_1"))
        assert (row.status, row.amounts.captured) == (PaymentStatus.CHARGED, TOTAL)
    done = await writes.begin_capture(*PAID)
    assert (done.captured, done.capture, done.refused) == (True, None, None)


async def test_capture_above_the_total_or_the_authorization_is_refused(writes: OrderWrites) -> None:
    assert (await writes.begin_capture(*PAID)).refused is CaptureRefusal.UNKNOWN_PAYMENT
    await authorize(writes)
    assert (await writes.begin_capture(*PAID, TOTAL + 1)).refused is CaptureRefusal.TOO_MUCH


async def test_single_capture_releases_the_rest_and_the_next_needs_another_authorization(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await authorize(writes)
    part = await writes.begin_capture(*PAID, 1000)
    assert part.capture is not None
    row = await writes.finish_capture(part.capture, Capture(reference="cp_1"))
    assert (row.status, row.amounts.authorized, row.amounts.captured) == (PaymentStatus.CHARGED, 1000, 1000)
    assert (await writes.begin_capture(*PAID)).refused is CaptureRefusal.NOT_AUTHORIZED
    begun = await writes.begin_authorization(*PAID)
    assert begun.authorization is not None
    assert (begun.authorization.key, begun.authorization.amount, begun.is_new) == ("pay-ord-1/2", 2130, True)
    await writes.finish_payment(begun.authorization, PaymentStatus.AUTHORIZED, Authorization(reference="au_2"))
    rest = await writes.begin_capture(*PAID)
    assert rest.capture is not None
    assert (rest.capture.key, rest.capture.amount) == ("pay-ord-1/2/capture/1", 2130)
    row = await writes.finish_capture(rest.capture, Capture(reference="cp_2"))
    assert (row.status, row.amounts.captured) == (PaymentStatus.CHARGED, TOTAL)
    # The refund takes the oldest captures first.
    refund = await writes.begin_refund(*PAID, RefundRequest(refund_id="r1", amount=1500))
    assert [(one.number, one.amount, one.payment.reference) for one in refund.parts] == [
        (1, 1000, "au_1"),
        (2, 500, "au_2"),
    ]
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert [one.state for one in found.authorizations] == ["closed", "closed"]


async def test_several_captures_end_at_the_authorization(writes: OrderWrites) -> None:
    await authorize(writes, Authorization(reference="au_1", multiple_captures=True))
    for number, amount in enumerate((1000, 1000), start=1):
        begun = await writes.begin_capture(*PAID, amount)
        assert begun.capture is not None
        assert begun.capture.key == f"pay-ord-1/1/capture/{number}"
        row = await writes.finish_capture(begun.capture, Capture(reference=f"cp_{number}"))
        assert row.status is PaymentStatus.PARTIALLY_CAPTURED
    assert (await writes.begin_capture(*PAID, 1131)).refused is CaptureRefusal.TOO_MUCH
    assert (await writes.begin_capture(*PAID)).capture is not None


async def test_refused_capture_is_asked_again_under_the_next_key(writes: OrderWrites) -> None:
    await authorize(writes)
    first = await writes.begin_capture(*PAID)
    assert first.capture is not None
    row = await writes.finish_capture(first.capture, None, error="no funds")
    assert row.status is PaymentStatus.AUTHORIZED
    second = await writes.begin_capture(*PAID)
    assert second.capture is not None
    assert second.capture.key == "pay-ord-1/1/capture/2"


async def test_lapsed_authorization_is_replaced(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    await authorize(writes, Authorization(reference="au_1", expires_at=AT - timedelta(days=1)))
    lapsed = await writes.begin_capture(*PAID)
    assert (lapsed.refused, lapsed.capture) == (CaptureRefusal.LAPSED, None)
    begun = await writes.begin_authorization(*PAID)
    again = await writes.begin_authorization(*PAID)
    assert (begun.is_new, again.is_new, begun.authorization) == (True, False, again.authorization)
    assert await sql.fetchval("select status from payments") == PaymentStatus.INIT
    assert begun.authorization is not None
    assert await writes.set_reference(begun.authorization, "pi_2") == "pi_2"
    assert await writes.set_reference(begun.authorization, "pi_3") == "pi_2"
    row = await writes.finish_payment(begun.authorization, PaymentStatus.AUTHORIZED, Authorization(reference="pi_2"))
    assert (row.status, row.amounts.authorized) == (PaymentStatus.AUTHORIZED, TOTAL)
    assert (await writes.begin_authorization(*PAID)).refused is CaptureRefusal.AUTHORIZED


async def test_authorization_that_the_provider_calls_lapsed_is_closed(writes: OrderWrites) -> None:
    await authorize(writes)
    begun = await writes.begin_capture(*PAID)
    assert begun.capture is not None
    row = await writes.finish_capture(begun.capture, None, error="lapsed", lapsed=True)
    assert (row.status, row.amounts.authorized) == (PaymentStatus.VOIDED, 0)
    assert (await writes.begin_authorization(*PAID)).authorization is not None


async def test_capture_from_another_method_asks_for_another_authorization(writes: OrderWrites) -> None:
    await authorize(writes, payment_method="pm_1")
    begun = await writes.begin_capture(*PAID, method="pm_2")
    assert begun.refused is CaptureRefusal.OTHER_METHOD
    assert begun.authorization is not None
    assert (begun.authorization.number, begun.authorization.method) == (1, "pm_1")
    await writes.finish_payment(begun.authorization, PaymentStatus.VOIDED, outcome=VoidOutcome.RELEASED)
    second = await writes.begin_authorization(*PAID, "pm_2")
    assert second.authorization is not None
    assert (second.authorization.number, second.authorization.method) == (2, "pm_2")


async def test_pending_payment_waits_and_ends(writes: OrderWrites) -> None:
    await writes.begin_payment(payment())
    pending = CHARGE.model_copy(update={"pending": PendingCustomer(url="https://pay.example/3ds")})
    waits = await writes.finish_payment(payment(), PaymentStatus.PENDING, pending)
    assert (waits.status, waits.reference) == (PaymentStatus.PENDING, "ch_1")
    assert (await charge(writes)).status is PaymentStatus.CHARGED
    late = await writes.finish_payment(payment(), PaymentStatus.PENDING, pending)
    assert late.status is PaymentStatus.CHARGED


@pytest.mark.parametrize(
    ("outcome", "status", "captured"),
    [
        (VoidOutcome.RELEASED, PaymentStatus.VOIDED, 0),
        (VoidOutcome.REFUNDED, PaymentStatus.REFUNDED, TOTAL),
    ],
)
async def test_void_resolves_an_open_capture(
    writes: OrderWrites, reads: OrderReads, outcome: VoidOutcome, status: PaymentStatus, captured: int
) -> None:
    await authorize(writes)
    begun = await writes.begin_capture(*PAID)
    fenced = await writes.fence_payment(payment())
    assert [(one.number, one.reference) for one in fenced.open] == [(1, "au_1")]
    assert (await writes.begin_capture(*PAID)).refused is CaptureRefusal.FENCED
    assert (await writes.begin_authorization(*PAID)).refused is CaptureRefusal.FENCED
    for _ in range(2):
        row = await writes.finish_payment(fenced.open[0], PaymentStatus.VOIDED, outcome=outcome)
        assert (row.status, row.amounts.captured, row.amounts.refunded) == (status, captured, captured)
    assert (await writes.fence_payment(payment())).open == ()
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert [one.status for one in found.intents] == ["refused" if outcome is VoidOutcome.RELEASED else "done"]
    assert begun.capture is not None


async def test_void_of_a_charge_that_was_never_recorded_records_charge_and_refund(writes: OrderWrites) -> None:
    await writes.begin_payment(payment())
    fenced = await writes.fence_payment(payment())
    row = await writes.finish_payment(fenced.open[0], PaymentStatus.VOIDED, outcome=VoidOutcome.REFUNDED)
    assert (row.status, row.amounts.captured, row.amounts.refunded) == (PaymentStatus.REFUNDED, TOTAL, TOTAL)
    late = await charge(writes)
    assert (late.status, late.fenced) == (PaymentStatus.REFUNDED, True)


async def test_payment_of_zero_is_charged_and_refunded_without_money(writes: OrderWrites) -> None:
    nothing = payment(amount="0")
    await writes.begin_payment(nothing)
    assert (await writes.finish_payment(nothing, PaymentStatus.CHARGED, CHARGE)).status is PaymentStatus.CHARGED
    decision = await writes.begin_refund(*PAID, UNDO, undo=True)
    assert (decision.parts, decision.amount) == ((), 0)
    assert (await writes.begin_payment(nothing)).status is PaymentStatus.REFUNDED


async def test_payment_of_another_order_is_neither_fenced_nor_captured(writes: OrderWrites) -> None:
    await authorize(writes)
    with pytest.raises(PaymentConflict):
        await writes.fence_payment(payment("ord-2", "pay-ord-1"))
    assert (await writes.begin_capture("pay-ord-1", "ord-2")).refused is CaptureRefusal.UNKNOWN_PAYMENT


async def test_concurrent_refunds_never_return_more_than_was_captured(writes: OrderWrites, postgres_url: str) -> None:
    await charge(writes)
    async with Database(postgres_url, pool_size=16, timeout=timedelta(seconds=30)) as database:
        many = OrderWrites(database)

        async def refund(number: int) -> int:
            decision = await many.begin_refund(*PAID, RefundRequest(refund_id=f"r{number}", amount=100 + number))
            for part in decision.parts:
                # Every third is refused by the provider, so that its amount is free again for others.
                answer = None if number % 3 == 0 else Refund(reference=f"re_{number}")
                await many.finish_refund(part, answer)
            return decision.amount if decision.parts and number % 3 else 0

        amounts = await asyncio.gather(*(refund(number) for number in range(60)))
    assert 0 < sum(amounts) <= TOTAL
    assert (await sums(writes)).refunded == sum(amounts)
    assert sum(100 + number for number in range(60) if number % 3) > TOTAL, "more was asked for than captured"


async def test_concurrent_captures_take_the_total_once(writes: OrderWrites, postgres_url: str) -> None:
    await authorize(writes)
    async with Database(postgres_url, pool_size=16, timeout=timedelta(seconds=30)) as database:
        many = OrderWrites(database)

        async def capture(number: int) -> str | None:
            decision = await many.begin_capture(*PAID)
            if decision.capture is None:
                return None
            await many.finish_capture(decision.capture, Capture(reference=f"cp_{number}"))
            return decision.capture.key

        keys = set(await asyncio.gather(*(capture(number) for number in range(30)))) - {None}
    assert keys == {"pay-ord-1/1/capture/1"}
    assert (await sums(writes)).captured == TOTAL


async def test_capture_and_undo_at_once_leave_no_money(writes: OrderWrites, postgres_url: str) -> None:
    """Whichever comes first, the fence or the intent, nothing is captured that the undo does not know of."""
    await authorize(writes)
    async with Database(postgres_url, pool_size=8, timeout=timedelta(seconds=30)) as database:
        many = OrderWrites(database)
        begun, fenced = await asyncio.gather(many.begin_capture(*PAID), many.fence_payment(payment()))
        captured = begun.capture is not None
        assert captured or begun.refused is CaptureRefusal.FENCED
        outcome = VoidOutcome.REFUNDED if captured else VoidOutcome.RELEASED
        row = await many.finish_payment(fenced.open[0], PaymentStatus.VOIDED, outcome=outcome)
    assert row.amounts.captured == row.amounts.refunded == (TOTAL if captured else 0)


@pytest.mark.parametrize(("kind", "amount"), [("refund", TOTAL + 1), ("capture", TOTAL + 1), ("capture", 1)], ids=str)
async def test_database_refuses_an_intent_that_no_function_decided(
    writes: OrderWrites, sql: asyncpg.Connection, kind: str, amount: int
) -> None:
    await charge(writes)
    insert = "insert into payment_intents (payment_id, key, kind, amount) values ('pay-ord-1', 'raw', $1, $2)"
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(insert, kind, amount)


async def test_payment_of_an_order_is_found(writes: OrderWrites, reads: OrderReads) -> None:
    await authorize(writes)
    assert [one.payment_id for one in await reads.payments_of_order("ord-1")] == ["pay-ord-1"]
    assert await reads.payments_of_order("ord-2") == []
    assert await reads.payment("pay-ord-2") is None
    found = await reads.payment("pay-ord-1")
    assert found is not None
    assert (found.capture, found.authorizations[0].reference) == (CaptureMode.ON_SHIPMENT, "au_1")
