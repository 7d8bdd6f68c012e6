from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orderfleet.domain import names
from orderfleet.domain.money import Adjustment
from orderfleet.domain.order import Address, Item, OrderInput, content_hash, line_ids, line_totals
from orderfleet.domain.shipment import ShippingInput


def test_payment_id_defaults_to_order_id() -> None:
    assert OrderInput(order_id="ord-1").payment_id == "pay-ord-1"
    assert OrderInput(order_id="ord-1", payment_id="mine").payment_id == "mine"


def test_line1_is_read_as_street() -> None:
    assert Address.model_validate({"line1": "1 Main St"}).street == "1 Main St"


def test_street_and_line1_that_differ_are_rejected() -> None:
    assert Address.model_validate({"street": "1 Main St", "line1": "1 Main St"}).street == "1 Main St"
    with pytest.raises(ValidationError, match="street and line1 are two names of one field and differ"):
        Address.model_validate({"street": "1 Main St", "line1": "2 Main St"})


def test_price_as_json_number_is_exact() -> None:
    assert Item.model_validate({"sku": "a", "qty": 1, "price": 9.99}).price == Decimal("9.99")


@given(st.lists(st.tuples(st.integers(1, 1000), st.decimals("0", "9999.9999", places=4))))
def test_amount_is_the_sum_of_rounded_lines_and_the_same_after_json(lines: list[tuple[int, Decimal]]) -> None:
    items = tuple(Item(sku="a", qty=qty, price=price) for qty, price in lines)
    again = OrderInput.model_validate_json(OrderInput(order_id="a", items=items).model_dump_json())
    cents = [(qty * price).quantize(Decimal("0.01"), ROUND_HALF_UP) for qty, price in lines]
    assert again.amount == 100 * sum(cents, Decimal(0))


@pytest.mark.parametrize("price", ["9e999999", "1e-999999", "1e999999999999999999", "-1e31"])
def test_price_out_of_range_is_rejected(price: str) -> None:
    with pytest.raises(ValidationError, match=r"price\n.*is out of range"):
        Item(sku="a", qty=1, price=price)


def test_item_without_price_counts_default_price() -> None:
    assert line_totals((Item(sku="a", qty=3),), "USD") == [300]


def test_shipment_refunds_what_the_order_is_charged() -> None:
    shipping = Adjustment(kind="shipping", amount="4.90")
    order = OrderInput(order_id="a", items=(Item(sku="a", qty=3, price="0.3333"),), adjustments=(shipping,))
    shipment = ShippingInput(**dict(order), attempt=1)
    assert shipment.payment.amount == order.amount == 590


def test_line_has_its_id_or_its_number() -> None:
    assert line_ids((Item(sku="a", qty=1, id="first"), Item(sku="b", qty=1))) == ["first", "2"]


@pytest.mark.parametrize("order_id", ["", "-a", "a b", "a/b", "x" * 129])
def test_invalid_order_id_is_rejected(order_id: str) -> None:
    with pytest.raises(ValidationError, match="order_id"):
        OrderInput(order_id=order_id)


def test_content_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert content_hash({"a": 1, "b": [1, 2]}) == content_hash({"b": [1, 2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_order_id_of_workflow_id_is_the_inverse() -> None:
    assert names.order_id_of(names.order_workflow_id("a-b")) == "a-b"
    with pytest.raises(ValueError, match="not an order workflow id"):
        names.order_id_of("shipping-a-1")
