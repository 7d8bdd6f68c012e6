"""What a refund asks for, and the value of an order's lines."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orderfleet.domain.ledger import RefundDecision, RefundLine, RefundRefusal
from orderfleet.domain.money import Adjustment, AdjustmentKind, pieces_value
from orderfleet.domain.order import Item, total
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.refunds import (
    LineQuantity,
    RefundId,
    RefundOrder,
    amount_problems,
    line_problems,
    order_lines,
    refusal_reason,
)

ITEMS = (Item(id="tea", sku="tea-100", qty=3, price=Decimal("0.3333")), Item(sku="cup", qty=1, price=Decimal("8.00")))
ADJUSTMENTS = (
    Adjustment(kind=AdjustmentKind.SHIPPING, amount=Decimal("4.90")),
    Adjustment(kind=AdjustmentKind.TAX, amount=Decimal("0.07"), line="tea"),
    Adjustment(kind=AdjustmentKind.DISCOUNT, amount=Decimal("-1.00")),
)


def test_order_lines_have_their_shares_and_shipping_is_a_line_of_one_piece():
    lines = order_lines(ITEMS, ADJUSTMENTS, "USD")
    assert {line.line: (line.pieces, line.amount) for line in lines.values()} == {
        "tea": (3, 95),
        "2": (1, 712),
        "shipping": (1, 490),
    }


prices = st.decimals(min_value=0, max_value=1000, places=4)
items = st.lists(
    st.builds(lambda qty, price: Item(sku="a", qty=qty, price=price), st.integers(1, 20), prices), min_size=1
)


@given(
    items=items,
    shipping=st.integers(0, 10_000),
    tax=st.integers(0, 10_000),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_order_lines_add_up_to_the_order_and_their_pieces_to_them(items, shipping, tax, currency):
    adjustments = [
        Adjustment(kind=AdjustmentKind.SHIPPING, amount=Decimal(shipping)),
        Adjustment(kind=AdjustmentKind.TAX, amount=Decimal(tax)),
    ]
    lines = order_lines(items, adjustments, currency)
    assert sum(line.amount for line in lines.values()) == total(items, adjustments, currency)
    for line in lines.values():
        each = [pieces_value(line.amount, line.pieces, number, number + 1) for number in range(line.pieces)]
        assert sum(each) == line.amount


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ([LineQuantity(line="3")], "lines[0].line: the order has no line '3'; it has 'tea', '2', 'shipping'"),
        ([LineQuantity(line="2", qty=2)], "lines[0].qty: 2 is above the 1 ordered; refund at most these"),
        ([LineQuantity(line="2"), LineQuantity(line="2")], "lines[1].line: '2' is named twice"),
    ],
)
def test_line_problem_names_the_field(wanted, problem):
    (found,) = line_problems(wanted, order_lines(ITEMS, ADJUSTMENTS, "USD"))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("amount", "currency", "problem"),
    [
        ("0", "USD", "amount: 0 is not above 0"),
        ("-1", "USD", "amount: -1 is not above 0"),
        ("1.005", "USD", "amount: 1.005 has more decimals than USD, which has 2"),
        ("100.5", "JPY", "amount: 100.5 has more decimals than JPY, which has 0"),
        ("0.0001", "KWD", "amount: 0.0001 has more decimals than KWD, which has 3"),
        ("NaN", "USD", "amount: is out of range"),
        ("1e20", "USD", "amount: is out of range"),
    ],
)
def test_amount_problem_names_the_field(amount, currency, problem):
    (found,) = amount_problems(Decimal(amount), currency)
    assert found.startswith(problem)


@pytest.mark.parametrize(("amount", "currency"), [("4.50", "USD"), ("4.500", "USD"), ("100", "JPY"), ("0.001", "KWD")])
def test_amount_of_the_minor_unit_has_no_problem(amount, currency):
    assert amount_problems(Decimal(amount), currency) == []


@pytest.mark.parametrize("refund_id", ["", "a/b", "-a", "a" * 65, "a b"])
def test_refund_id_of_another_form_is_rejected(refund_id):
    with pytest.raises(ValidationError):
        TypeAdapter(RefundId).validate_python(refund_id)


def refund(**changes: object) -> RefundOrder:
    payment = PaymentIntent(payment_id="pay-1", order_id="ord-1", amount=900, currency="USD")
    return RefundOrder(order_id="ord-1", payment=payment, reason="", policy=OrderPolicy(), refund_id="r1", **changes)


def test_memo_differs_by_content_and_not_by_reason():
    one = refund(amount=100).memo()
    assert one == refund(amount=100).model_copy(update={"reason": "late"}).memo()
    assert one != refund(amount=101).memo()


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (RefundRefusal.TOO_MUCH, "5.00 USD cannot be refunded; 4.50 USD can be refunded"),
        (RefundRefusal.UNKNOWN_PAYMENT, "payment 'pay-1' was not charged yet, so nothing can be refunded"),
        (
            RefundRefusal.CONFLICT,
            "refund id 'r1' was used before for another refund of this payment; choose another one",
        ),
    ],
)
def test_refusal_says_what_can_be_refunded(refused, reason):
    assert refusal_reason(refund(amount=500), RefundDecision(refused=refused, refundable=450)) == reason


def test_refusal_of_pieces_names_the_line():
    line = RefundLine(line="tea", qty=2, pieces=3, amount=95)
    decision = RefundDecision(refused=RefundRefusal.PIECES, line="tea", refundable=450)
    assert refusal_reason(refund(lines=(line,)), decision) == (
        "fewer than 2 pieces of line 'tea' are left to refund; 4.50 USD can be refunded"
    )
