from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from orderfleet.domain.errors import OrderConflict, PaymentConflict, ReferenceConflict
from orderfleet.domain.money import EXPONENTS, minor_units
from orderfleet.domain.order import Item
from orderfleet.domain.status import OrderFilter, OrderStatus, PaymentStatus, PaymentView, SpecResult, Step
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.factories import ADDRESS
from support.sample_rows import AT, payment, progress, receive, sample_order


async def test_received_order_is_read_back_unchanged(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.owner, found.owner_uid, found.content_hash) == ("shop/ord-1", "uid-1", "c0ffee")
    assert found.status == OrderStatus(
        order_id="ord-1",
        workflow_id="order-ord-1",
        run_id="run-1",
        step=Step.RECEIVE,
        address=ADDRESS,
        payment=PaymentView(id="pay-ord-1", amount=Decimal("31.30"), currency="USD"),
        declared=SpecResult(),
        created_at=AT,
        updated_at=found.status.updated_at,
    )


async def test_repeated_receipt_changes_nothing(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    await writes.record("ord-1", progress(2, Step.CHARGE, "validated"))
    before = await reads.order("ord-1")
    await receive(writes)
    after = await reads.order("ord-1")
    assert before is not None
    assert after is not None
    assert after == before, "no version either: a reader of the feed would look for what is new"
    assert len(await reads.events("ord-1")) == 2


async def test_run_continued_as_new_is_the_same_order(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    await receive(writes, first=progress(2, Step.MANUAL_REVIEW, "continued"), run_id="run-2")
    await receive(writes, first=progress(1, Step.RECEIVE, "received"), run_id="run-1")  # a late attempt
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.status.run_id, found.status.step) == ("run-2", Step.MANUAL_REVIEW)


async def test_receipt_by_another_execution_is_a_conflict_that_names_the_owner(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await receive(writes)
    before = await reads.order("ord-1")
    with pytest.raises(OrderConflict, match=r"'ord-1' belongs to an earlier order \(owner shop/ord-1, run run-1\)"):
        await writes.receive(
            sample_order(content_hash="other"),
            workflow_id="order-ord-1",
            run_id="run-9",
            first_run_id="run-9",
            started_at=AT,
            progress=progress(99, Step.FAILED, "not-mine"),
        )
    assert await reads.order("ord-1") == before
    assert len(await reads.events("ord-1")) == 1


async def test_concurrent_receipts_of_one_order_insert_it_once(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    await asyncio.gather(*(receive(writes) for _ in range(8)))
    assert await sql.fetchval("select count(*) from orders") == 1
    assert len(await reads.events("ord-1")) == 1


async def test_concurrent_receipts_by_two_executions_accept_one(writes: OrderWrites, sql: asyncpg.Connection) -> None:
    async def one(run_id: str) -> str:
        await writes.receive(
            sample_order(),
            workflow_id="order-ord-1",
            run_id=run_id,
            first_run_id=run_id,
            started_at=AT,
            progress=progress(1),
        )
        return run_id

    answers = await asyncio.gather(*(one(f"run-{number}") for number in range(6)), return_exceptions=True)
    got = [answer for answer in answers if isinstance(answer, str)]
    assert len(got) == 1
    assert all(isinstance(answer, str | OrderConflict) for answer in answers)
    assert await sql.fetchval("select first_run_id from orders") == got[0]


async def test_invalid_order_is_recorded(writes: OrderWrites, reads: OrderReads) -> None:
    wrong = sample_order(items=(Item(sku="", qty=-1, price=Decimal("-0.5")),), currency="???")
    await receive(writes, wrong)
    found = await reads.order("ord-1")
    assert found is not None
    assert (found.status.payment.amount, found.status.payment.currency) == (Decimal("0.50"), "???")


@pytest.mark.parametrize(
    ("price", "currency", "amount"),
    [
        ("10.00", "USD", "30.00"),
        ("0.0001", "USD", "0.00"),
        ("9999999999.9999", "USD", "30000000000.00"),
        ("1E+2", "JPY", "300"),
        ("0.3335", "KWD", "1.001"),
        ("1e30", "USD", "10000000000000.00"),
    ],
)
async def test_amount_is_read_with_the_decimals_of_its_currency(
    writes: OrderWrites, reads: OrderReads, price: str, currency: str, amount: str
) -> None:
    given = await receive(writes, sample_order(items=(Item(sku="x", qty=3, price=Decimal(price)),), currency=currency))
    found = await reads.order("ord-1")
    assert found is not None
    assert str(found.status.payment.amount) == amount
    assert minor_units(found.status.payment.amount, currency) == given.amount


async def test_amount_in_every_currency_is_read_as_the_order_has_it(writes: OrderWrites, reads: OrderReads) -> None:
    given = {code: sample_order(f"in-{code}", currency=code) for code in EXPONENTS}
    for order in given.values():
        await receive(writes, order)
    found = await reads.orders([order.order_id for order in given.values()])
    for code, order in given.items():
        shown = found[order.order_id].status.payment.amount
        assert (minor_units(shown, code), -shown.as_tuple().exponent) == (order.amount, EXPONENTS[code])


async def test_text_that_postgres_rejects_does_not_fail_the_order(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes, sample_order(items=(Item(sku="a\0b", qty=1),), currency="U\0D"))
    await writes.record("ord-1", progress(2, Step.FAILED, last_error="bad byte \udcff and \0"))
    found = await reads.order("ord-1")
    assert found is not None
    assert found.status.last_error == "bad byte ? and \N{REPLACEMENT CHARACTER}"


async def test_order_with_the_payment_id_of_another_is_a_conflict_and_recorded(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await receive(writes, sample_order("ord-1", payment_id="shared"))
    for _ in range(2):  # a retry gets the same answer
        with pytest.raises(PaymentConflict, match="'shared' belongs to another order than 'ord-2'; choose another one"):
            await receive(writes, sample_order("ord-2", payment_id="shared"))
    await receive(writes, sample_order("ord-1", payment_id="shared"))
    found = await reads.order("ord-2")
    assert found is not None
    assert (found.status.payment.id, found.status.payment.status) == ("shared", None)
    assert await reads.payment_holder("shared") == "ord-1"
    assert await reads.payment_holder("free") is None


async def test_concurrent_receipts_with_one_payment_id_accept_one(
    writes: OrderWrites, reads: OrderReads, sql: asyncpg.Connection
) -> None:
    async def one(order_id: str) -> str:
        await receive(writes, sample_order(order_id, payment_id="shared"))
        return order_id

    answers = await asyncio.gather(*(one(f"ord-{number}") for number in range(8)), return_exceptions=True)
    got = [answer for answer in answers if isinstance(answer, str)]
    assert got == [await reads.payment_holder("shared")]
    assert sum(isinstance(answer, PaymentConflict) for answer in answers) == 7
    assert await sql.fetchval("select count(*) from orders") == 8


async def test_payment_id_of_an_order_in_review_is_neither_begun_nor_voided_by_another_order(
    writes: OrderWrites, sql: asyncpg.Connection
) -> None:
    await receive(writes, sample_order("ord-1", payment_id="shared"))
    with pytest.raises(PaymentConflict):
        await receive(writes, sample_order("ord-2", payment_id="shared"))
    with pytest.raises(PaymentConflict):
        await writes.begin_payment(payment("ord-2", "shared"))
    with pytest.raises(PaymentConflict):
        await writes.finish_payment(payment("ord-2", "shared"), PaymentStatus.VOIDED, None)
    assert await sql.fetchval("select count(*) from payments") == 0


async def test_another_execution_of_an_order_claims_no_payment_id(writes: OrderWrites, reads: OrderReads) -> None:
    await receive(writes)
    with pytest.raises(OrderConflict):
        await writes.receive(
            sample_order(payment_id="other"),
            workflow_id="order-ord-1",
            run_id="run-9",
            first_run_id="run-9",
            started_at=AT,
            progress=progress(99, Step.FAILED),
        )
    assert await reads.payment_holder("other") is None


async def test_reference_of_another_order_is_a_conflict_where_it_is_unique(
    writes: OrderWrites, reads: OrderReads
) -> None:
    await receive(writes, sample_order("ord-1", reference="#1001"))
    await receive(writes, sample_order("ord-2", reference="#1001"))  # not unique
    for _ in range(2):  # a retry gets the same answer
        with pytest.raises(ReferenceConflict, match="'#1001' belongs to order 'ord-1'; choose another one"):
            await receive(writes, sample_order("ord-3", reference="#1001"), unique_reference=True)
    await receive(writes, sample_order("ord-1", reference="#1001"), unique_reference=True)
    await receive(writes, sample_order("ord-4"), unique_reference=True)
    await receive(writes, sample_order("ord-5"), unique_reference=True)
    assert (await reads.reference_holder("#1001"), await reads.reference_holder("#1002")) == ("ord-1", None)
    found = await reads.order("ord-3")
    assert found is not None
    assert found.status.reference == "#1001"


async def test_concurrent_receipts_with_one_unique_reference_accept_one(writes: OrderWrites, reads: OrderReads) -> None:
    async def one(order_id: str) -> str:
        await receive(writes, sample_order(order_id, reference="2026/000042"), unique_reference=True)
        return order_id

    answers = await asyncio.gather(*(one(f"ord-{number}") for number in range(8)), return_exceptions=True)
    [holder] = [answer for answer in answers if isinstance(answer, str)]
    assert holder == await reads.reference_holder("2026/000042")
    rejected = [answer for answer in answers if isinstance(answer, ReferenceConflict)]
    assert len(rejected) == 7
    assert all(f"belongs to order {holder!r}" in str(each) for each in rejected)


async def test_orders_are_listed_by_reference_with_the_other_filters(writes: OrderWrites, reads: OrderReads) -> None:
    for order_id, reference in (("ord-1", "#1"), ("ord-2", "#1"), ("ord-3", "#2"), ("ord-4", "")):
        await receive(writes, sample_order(order_id, reference=reference))
    await writes.record("ord-2", progress(2, Step.FAILED))

    async def found(**wanted: str) -> list[str]:
        page = await reads.orders_page(OrderFilter(**wanted))
        return [order.order_id for order in page.orders]

    assert await found(reference="#1") == ["ord-2", "ord-1"]
    assert await found(reference="#1", step="failed") == ["ord-2"]
    assert await found(reference="#1", customer_email="ANN@example.com") == ["ord-2", "ord-1"]
    assert await found(reference="#1", customer_email="other@example.com") == await found(reference="#") == []
