"""`orderfleet payments` against real workers."""

from __future__ import annotations

import asyncio
import csv
import io
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from orderfleet.domain.money import Adjustment, AdjustmentKind
from orderfleet.domain.order import Delivery, Item
from orderfleet.domain.status import PaymentStatus, Step
from support.factories import AUTO
from support.polling import eventually

ITEMS = (Item(id="tea", sku="tea-100", qty=3, price="0.3333"), Item(sku="cup-1", qty=1, price="8.00"))
ADJUSTMENTS = (Adjustment(kind=AdjustmentKind.SHIPPING, amount=Decimal("4.90")),)


@pytest.fixture
async def shipped(workflow_env, order_id):
    order = workflow_env.order(order_id, review=AUTO, items=ITEMS, adjustments=ADJUSTMENTS)
    await (await workflow_env.start(order)).result()
    return order_id


async def until_refunded(orderfleet, order_id, amount):
    async def shown():
        return (await orderfleet("payments", "show", order_id, "-o", "json")).document

    return await eventually(shown, lambda found: found["refunded"] == amount and found["status"] != "REFUNDING")


async def test_amount_and_lines_are_refunded_and_shown(orderfleet, workflow_env, shipped):
    by_amount = await orderfleet(
        "payments", "refund", shipped, "--amount", "1.00", "--reason", "late [!]", "--id", "r1"
    )
    assert by_amount.code == 0, by_amount.err
    assert by_amount.out.startswith(f"1.00 USD of order {shipped} are ")
    await until_refunded(orderfleet, shipped, "1.00")
    again = await orderfleet("payments", "refund", shipped, "--amount", "1.00", "--id", "r1")
    assert again.out == f"1.00 USD of order {shipped} are refunded; the refund is r1\n"
    lines = ("--line", "tea=2", "--line", "shipping")
    by_lines = (await orderfleet("payments", "refund", f"order-{shipped}", *lines, "-o", "json")).document
    assert (by_lines["result"], by_lines["refund"]["amount"]) == ("accepted", "5.57")
    found = await until_refunded(orderfleet, shipped, "6.57")
    assert (found["status"], found["refundable"]) == ("PARTIALLY_REFUNDED", "7.33")
    table = (await orderfleet("payments", "show", shipped)).out
    for text in ("PARTIALLY_REFUNDED", "captured", "13.90 USD", "7.33 USD", "tea x 2, shipping x 1", "late [!]"):
        assert text in table


async def test_refund_of_a_running_order_shows_in_its_status_and_description(orderfleet, workflow_env, order_id):
    await workflow_env.start(workflow_env.order(order_id, review=AUTO, delivery=Delivery(confirm=True)))
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.SHIPPED)
    refunded = await orderfleet("payments", "refund", order_id, "--amount", "4.50")
    assert refunded.code == 0, refunded.err
    await until_refunded(orderfleet, order_id, "4.50")

    async def status():
        return (await orderfleet("order", "status", order_id, "-o", "json")).document

    shown = await eventually(status, lambda found: found["payment"]["refunded"] == "4.50")
    assert (shown["source"], shown["payment"]["status"]) == ("workflow", "PARTIALLY_REFUNDED")
    for verb in ("status", "describe"):
        text = (await orderfleet("order", verb, order_id)).out
        assert "PARTIALLY_REFUNDED" in text
        assert "19.98 USD, 4.50 refunded" in text


async def test_refund_that_cannot_be_made_says_why(orderfleet, workflow_env, shipped):
    async def fails(*arguments):
        found = await orderfleet("payments", "refund", shipped, *arguments)
        return found.code, found.err

    assert await fails("--amount", "14.00") == (
        4,
        "orderfleet: 14.00 USD cannot be refunded; 13.90 USD can be refunded\n",
    )
    assert await fails("--amount", "1.005") == (
        2,
        "orderfleet: amount: 1.005 has more decimals than USD, which has 2; round it\n",
    )
    assert await fails() == (2, "orderfleet: amount: is missing; give an amount, or lines\n")
    code, text = await fails("--line", "cup", "--line", "tea=4")
    assert code == 2
    assert text.splitlines() == [
        "orderfleet: lines[0].line: the order has no line 'cup'; it has 'tea', '2', 'shipping'",
        "orderfleet: lines[1].qty: 4 is above the 3 ordered; refund at most these",
    ]
    assert (await fails("--line", "tea=x"))[0] == 2
    assert (await fails("--amount", "much"))[0] == 2
    unknown = await orderfleet("payments", "refund", f"no-{shipped}", "--amount", "1.00")
    assert (unknown.code, "there is no order" in unknown.err) == (3, True)
    assert (await orderfleet("payments", "show", shipped, "-o", "json")).document["refunds"] == []


async def test_refunds_from_two_places_at_once_never_exceed_what_was_captured(orderfleet, workflow_env, shipped):
    from orderfleet.cli.order.session import connect  # noqa: PLC0415
    from orderfleet.services.errors import RefundRejected  # noqa: PLC0415
    from orderfleet.settings import Settings  # noqa: PLC0415

    async with connect(Settings()) as connection:

        async def in_process(number):
            try:
                await connection.refunds.refund(shipped, f"p{number}", amount=Decimal("5.00"))
            except RefundRejected:
                return 4
            return 0

        command = asyncio.create_task(orderfleet("payments", "refund", shipped, "--amount", "5.00"))
        codes = await asyncio.gather(*(in_process(number) for number in range(4)))
        codes.append((await command).code)
    assert sorted(codes) == [0, 0, 4, 4, 4]
    await until_refunded(orderfleet, shipped, "10.00")


async def test_list_filters_by_status_day_and_currency(orderfleet, workflow_env, shipped):
    yen = f"{shipped}-jpy"
    order = workflow_env.order(yen, review=AUTO, items=(Item(sku="tea", qty=1, price="500"),), currency="JPY")
    await (await workflow_env.start(order)).result()
    today = datetime.now(UTC).date()

    async def listed(*arguments):
        found = await orderfleet("payments", "list", "-n", "200", *arguments, "-o", "json")
        assert found.code == 0, found.err
        ours = [each["order_id"] for each in found.document["payments"] if each["order_id"] in {shipped, yen}]
        return sorted(ours)

    assert await listed() == [shipped, yen]
    assert await listed("--currency", "jpy") == [yen]
    assert await listed("--status", "charged", "--currency", "USD") == [shipped]
    assert await listed("--status", PaymentStatus.REFUNDED) == []
    days = [today, today - timedelta(days=1)]
    # The test may run over midnight.
    assert [shipped, yen] in [await listed("--day", str(day)) for day in days]
    assert await listed("--day", "2020-01-01") == []
    table = await orderfleet("payments", "list", "--currency", "JPY")
    assert f"{yen} " in table.out
    assert (await orderfleet("payments", "list", "--day", "2020-01-01")).out == "there are no such payments\n"
    assert (await orderfleet("payments", "list", "--day", "today")).code == 2


async def test_export_has_each_entry_and_the_sums_of_a_day(orderfleet, workflow_env, order_id):
    # A currency of its own, because the database is shared by the session.
    currency = "BHD"
    order = workflow_env.order(order_id, review=AUTO, items=(Item(sku="tea", qty=1, price="1.500"),), currency=currency)
    before = await sums(orderfleet, currency)
    await (await workflow_env.start(order)).result()
    assert (await orderfleet("payments", "refund", order_id, "--amount", "0.001")).code == 0
    await until_refunded(orderfleet, order_id, "0.001")
    exported = await orderfleet("payments", "export")
    rows = [row for row in csv.DictReader(io.StringIO(exported.out)) if row["order_id"] == order_id]
    assert [(row["kind"], row["amount"], row["currency"]) for row in rows] == [
        ("captured", "1.500", currency),
        ("refunded", "0.001", currency),
    ]
    assert rows[0]["key"] == f"pay-{order_id}"
    after = await sums(orderfleet, currency)
    assert (after[0] - before[0], after[1] - before[1]) == (Decimal("1.500"), Decimal("0.001"))
    header, *rest = (
        await orderfleet("payments", "export", "--from", "2020-01-01", "--to", "2020-01-02")
    ).out.splitlines()
    assert (header, rest) == ("at,order_id,payment_id,kind,amount,currency,source,reference,key,counts", [])
    none = await orderfleet("payments", "export", "authorizations", "--to", "2020-01-01")
    assert none.out == "day,currency,payments,amount\n"
    assert (await orderfleet("payments", "export", "--from", "2020-01-02", "--to", "2020-01-01")).code == 2


async def sums(orderfleet, currency):
    totals = csv.DictReader(io.StringIO((await orderfleet("payments", "export", "totals")).out))
    rows = [row for row in totals if row["currency"] == currency]
    return sum(Decimal(row["captured"]) for row in rows), sum(Decimal(row["refunded"]) for row in rows)


async def test_payment_of_an_order_that_is_not_charged_is_shown(orderfleet, workflow_env):
    order_id = f"cli-{uuid.uuid4().hex[:12]}"
    await workflow_env.start(workflow_env.order(order_id))
    await workflow_env.until_recorded(order_id, lambda status: status.step == "manual_review")
    shown = await orderfleet("payments", "show", order_id)
    assert (shown.code, "not charged" in shown.out) == (0, True)
