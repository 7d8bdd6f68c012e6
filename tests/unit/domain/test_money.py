"""Properties of amounts in every currency of ISO 4217, and of the division of an order's money."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain.money import (
    EXPONENTS,
    MAX_AMOUNT,
    Adjustment,
    AdjustmentKind,
    adjustment_shares,
    allocate,
    line_total,
    minor_units,
    pieces_value,
    to_decimal,
)
from orderfleet.domain.order import Item, OrderInput, line_ids, line_totals
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.status import PaymentView
from orderfleet.domain.validation import problems
from support.factories import order_input
from support.order_strategies import CURRENCIES, STEPS, adjusted_orders

AMOUNTS = st.integers(0, MAX_AMOUNT)
WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=20).filter(any)


@pytest.mark.parametrize(
    ("qty", "price", "currency", "shown"),
    [
        (3, "0.3333", "USD", "1.00"),
        (1, "0.9999", "USD", "1.00"),
        (1, "100.5", "JPY", "101"),
        (1, "0.0005", "KWD", "0.001"),
        (1, "0.0049", "USD", "0.00"),
        (2, "4.5", "USD", "9.00"),
        (1, "1", "KWD", "1.000"),
    ],
)
def test_total_of_a_line_is_rounded_half_up_once(qty: int, price: str, currency: str, shown: str) -> None:
    order = order_input("a", items=(Item(sku="w", qty=qty, price=price),), currency=currency)
    assert str(to_decimal(order.amount, currency)) == shown


@given(CURRENCIES, st.integers(1, 10**6), st.decimals("0", "9999999999.9999", places=4))
def test_total_of_a_line_is_nearest_to_quantity_times_price(currency: str, qty: int, price: Decimal) -> None:
    exact = qty * price
    expected = exact.quantize(Decimal(1).scaleb(-EXPONENTS[currency]), ROUND_HALF_UP)
    assert to_decimal(line_total(qty, price, currency), currency) == expected


@given(CURRENCIES, AMOUNTS)
def test_amount_is_the_same_after_json_and_has_the_decimals_of_its_currency(currency: str, amount: int) -> None:
    shown = to_decimal(amount, currency)
    assert len(str(shown).partition(".")[2]) == EXPONENTS[currency]
    assert minor_units(shown, currency) == amount
    view = PaymentView(id="p", amount=shown, currency=currency)
    assert str(PaymentView.model_validate_json(view.model_dump_json()).amount) == str(shown)
    intent = PaymentIntent(payment_id="p", order_id="o", amount=amount, currency=currency)
    assert PaymentIntent.model_validate_json(intent.model_dump_json()) == intent
    assert PaymentIntent(payment_id="p", order_id="o", amount=str(shown), currency=currency) == intent


@pytest.mark.parametrize("amount", ["", "x", "NaN", "Infinity", "1e999999", 1.5, None, 2**63])
def test_text_that_is_no_amount_is_rejected(amount: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        PaymentIntent.model_validate({"payment_id": "p", "order_id": "o", "amount": amount, "currency": "USD"})


@given(st.integers(-(10**12), 10**12), WEIGHTS, STEPS)
def test_shares_add_up_and_follow_their_weights(size: int, weights: list[int], step: int) -> None:
    amount, whole = size * step, sum(weights)
    shares = allocate(amount, weights, step)
    assert sum(shares) == amount
    assert all(share % step == 0 for share in shares)
    assert all(
        abs(share * whole - amount * weight) < step * whole for share, weight in zip(shares, weights, strict=True)
    )
    in_order = sorted(zip(weights, map(abs, shares), strict=True))
    assert all(low <= high or low - high == step for (_, low), (_, high) in pairwise(in_order))
    assert all(low <= high for (light, low), (heavy, high) in pairwise(in_order) if light < heavy)


def test_tie_goes_to_the_lower_line() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(-2, [1, 1, 1]) == [-1, -1, 0]
    assert allocate(20, [1, 1, 1], step=10) == [10, 10, 0]


@given(AMOUNTS, st.integers(1, 1000), st.lists(st.integers(0, 1000)), STEPS)
def test_pieces_of_any_cut_add_up_to_their_line(amount: int, pieces: int, cuts: list[int], step: int) -> None:
    amount -= amount % step
    bounds = [0, *sorted(min(cut, pieces) for cut in cuts), pieces]
    values = [pieces_value(amount, pieces, start, end, step) for start, end in pairwise(bounds)]
    assert sum(values) == amount
    assert all(value >= 0 and value % step == 0 for value in values)


def _shares(order: OrderInput) -> tuple[dict[str, int], list[dict[str, int]]]:
    totals = dict(zip(line_ids(order.items), line_totals(order.items, order.currency), strict=True))
    lines = {line: (item.qty, total) for (line, total), item in zip(totals.items(), order.items, strict=True)}
    return totals, adjustment_shares(lines, order.adjustments, order.currency)


@given(adjusted_orders())
def test_adjustments_of_a_valid_order_add_up_and_leave_no_line_below_zero(order: OrderInput) -> None:
    if problems(order):
        return
    totals, shares = _shares(order)
    for adjustment, of_lines in zip(order.adjustments, shares, strict=True):
        expected = minor_units(adjustment.amount, order.currency)
        of_order = adjustment.kind is AdjustmentKind.SHIPPING and not adjustment.line
        assert sum(of_lines.values()) == (0 if of_order else expected)
        assert all(share * expected >= 0 for share in of_lines.values()), "a tax is a tax on each line"
    ends = {line: total + sum(each.get(line, 0) for each in shares) for line, total in totals.items()}
    assert min(ends.values()) >= 0
    shipping = [each.amount for each, of_lines in zip(order.adjustments, shares, strict=True) if not of_lines]
    assert sum(ends.values()) + sum(minor_units(each, order.currency) for each in shipping) == order.amount


def test_adjustments_are_divided_by_totals_and_by_quantity_where_all_are_zero() -> None:
    tax = (Adjustment(kind="tax", amount="6.01"),)
    items = tuple(Item(sku="w", qty=qty, price=price) for qty, price in ((1, "10"), (1, "20"), (1, "30")))
    assert _shares(order_input("a", items=items, adjustments=tax))[1] == [{"1": 100, "2": 200, "3": 301}]
    free = tuple(Item(sku="w", qty=qty, price="0") for qty in (1, 3))
    assert _shares(order_input("a", items=free, adjustments=tax))[1] == [{"1": 150, "2": 451}]


def test_discounts_of_a_minor_unit_go_to_different_lines() -> None:
    items = tuple(Item(sku="w", qty=1, price="0.01") for _ in range(3))
    discounts = (Adjustment(kind="discount", amount="-0.01"),) * 3
    _, shares = _shares(order_input("a", items=items, adjustments=discounts))
    assert shares == [{"1": -1, "2": 0, "3": 0}, {"1": 0, "2": -1, "3": 0}, {"1": 0, "2": 0, "3": -1}]
