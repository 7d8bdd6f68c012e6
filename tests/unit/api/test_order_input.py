from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orderfleet.api.order_input import SAMPLE_ADDRESS, Unprocessable, order_id_for, to_input
from orderfleet.api.schemas import AddressTerms, NewAddress, NewOrder, StartOrder
from orderfleet.domain.inputs import validation_message
from orderfleet.domain.order import Address
from orderfleet.domain.policy import AddressChecks, OrderPolicy
from orderfleet.settings import Settings
from support.factories import ADDRESS_JSON

ORDER = {"items": [{"sku": "widget", "qty": 2, "price": "9.99"}], "address": ADDRESS_JSON}


def to_order(settings: Settings | None = None, **changes):
    return to_input(NewOrder.model_validate({**ORDER, **changes}), "ord-1", settings or Settings())


def test_order_id_of_the_request_has_precedence_over_the_key():
    assert order_id_for(NewOrder(order_id="mine"), "a key") == "mine"


@given(st.text(min_size=1))
def test_idempotency_key_gives_one_valid_order_id(key):
    order_id = order_id_for(NewOrder(), key)
    assert order_id == order_id_for(NewOrder(), key)
    assert NewOrder(order_id=order_id).order_id == order_id


def test_generated_order_ids_differ():
    ids = {order_id_for(NewOrder(), None) for _ in range(100)}
    assert len(ids) == 100
    for order_id in ids:
        assert NewOrder(order_id=order_id).order_id == order_id


def test_omitted_fields_come_from_the_settings():
    settings = Settings(review_mode="auto", review_timeout="1h", delivery_confirm=True, order_deadline="2h")
    order = to_order(settings, review={"timeout": "5m"})
    assert (order.review.mode, str(order.review.timeout)) == ("auto", "0:05:00")
    assert order.delivery.confirm
    assert str(order.deadline) == "2:00:00"
    assert order.policy == settings.order_policy() == OrderPolicy(require_prices=True, address_checks=AddressChecks())


def test_customer_is_read_from_flat_and_nested_fields():
    flat = to_order(customer_name="Ada", customer_email="ada@example.com")
    nested = to_order(customer={"name": "Ada", "email": "ada@example.com"})
    assert flat.customer == nested.customer
    assert flat.content_hash == nested.content_hash


def test_content_hash_ignores_spelling_and_settings():
    assert to_order().content_hash == to_order(items=[{"sku": "widget", "qty": 2, "price": 9.99}]).content_hash
    assert to_order().content_hash == to_order(items=[{"sku": "widget", "qty": "2", "price": "9.990"}]).content_hash
    assert to_order().content_hash == to_order(Settings(review_mode="auto")).content_hash
    for change in (
        {"items": [{"sku": "widget", "qty": 3, "price": "9.99"}]},
        {"address": {**ADDRESS_JSON, "zip": "62702"}},
        {"currency": "EUR"},
        {"payment_id": "other"},
        {"customer_name": "Ada"},
        {"review": {"mode": "auto"}},
        {"approved": True},
    ):
        assert to_order().content_hash != to_order(**change).content_hash, change


def test_content_hash_of_a_request_is_the_same_in_every_version():
    request = {
        "customer": {"name": "Ada"},
        "items": [{"sku": "widget", "qty": 2, "price": "9.99"}, {"sku": "ink", "qty": 1, "price": 0}],
        "review": {"mode": "auto"},
        "delivery": {"confirm": False},
        "approved": False,
    }
    assert to_order(**request).content_hash == "d842c906962560ea1d7257c7df9e3c1a04ae2b1019240bf1afeed6149f14e0ea"


def test_content_hash_leaves_out_a_field_with_its_default():
    class LaterAddress(AddressTerms):
        line2: str = ""

    class LaterOrder(NewOrder):
        address: LaterAddress | None = None

    def later(**address: str) -> str:
        order = LaterOrder.model_validate({**ORDER, "address": ADDRESS_JSON | address})
        return to_input(order, "ord-1", Settings()).content_hash

    assert later() == later(line2="") == to_order().content_hash
    assert later(line2="Floor 2") != to_order().content_hash


def test_all_invalid_fields_are_reported_at_once():
    with pytest.raises(Unprocessable) as caught:
        to_order(items=[{"sku": " ", "qty": 0, "price": "1"}], address={}, currency="XXY")
    fields = [problem.partition(":")[0] for problem in caught.value.problems]
    assert fields == [
        "items[0].sku",
        "items[0].qty",
        "address.street",
        "address.city",
        "currency",
    ]


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        ({}, True),
        ({"sample_orders": True}, False),
        ({"sample_orders": True, "require_prices": True}, True),
        ({"require_prices": False}, False),
    ],
)
def test_price_is_required_unless_samples_or_a_setting_allow_none(settings, required):
    chosen = Settings(**settings)
    assert chosen.order_policy().require_prices is required
    if required:
        with pytest.raises(Unprocessable, match=r"items\[0\].price: is missing"):
            to_order(chosen, items=[{"sku": "widget", "qty": 2}])
    else:
        assert to_order(chosen, items=[{"sku": "widget", "qty": 2}]).amount == 200


def test_missing_fields_are_named_once_each():
    with pytest.raises(Unprocessable) as caught:
        to_input(NewOrder(), "ord-1", Settings())
    assert caught.value.problems == ["items: is missing; give it", "address: is missing; give it"]


def test_samples_replace_missing_fields_only():
    order = to_input(NewOrder(items=[{"sku": "a", "qty": 5}]), "ord-1", Settings(sample_orders=True))
    assert order.items[0].qty == 5
    assert order.address == SAMPLE_ADDRESS


@pytest.mark.parametrize("envelope", ["address", "new_address", None])
def test_new_address_is_read_with_and_without_an_envelope(envelope):
    address_line1 = {"line1": "1 Main St", **{name: value for name, value in ADDRESS_JSON.items() if name != "street"}}
    body = {envelope: address_line1} if envelope else address_line1
    assert NewAddress.model_validate(body).address.model_dump() == Address(**ADDRESS_JSON).model_dump()


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        (
            {"customer": {"name": "Ada"}, "customer_name": "Eve"},
            "customer_name",
            "differs from customer.name; give only one of them",
        ),
        (
            {"customer": {"email": "a@example.com"}, "customer_email": "b@example.com"},
            "customer_email",
            "differs from customer.email; give only one of them",
        ),
        (
            {"shipping_address": ADDRESS_JSON},
            "shipping_address",
            "is another name of address, which is given too; give only one of them",
        ),
        (
            {"address": {**ADDRESS_JSON, "line1": "2 Main St"}},
            "address.line1",
            "is another name of street, which is given too; give only one of them",
        ),
        (
            {"review": {"on_timeout": "cancel", "onTimeout": "approve"}},
            "review.onTimeout",
            "is another name of on_timeout, which is given too; give only one of them",
        ),
    ],
)
@pytest.mark.parametrize("model", [NewOrder, StartOrder])
def test_field_given_under_two_names_is_rejected_and_names_both(model, given, field, message):
    with pytest.raises(ValidationError) as caught:
        model.model_validate({**ORDER, **given})
    (problem,) = caught.value.errors()
    assert (".".join(problem["loc"]), validation_message(problem)) == (field, message)


@pytest.mark.parametrize(
    "given",
    [
        {"customer": {"name": "Ada"}, "customer_name": "Ada"},
        {"customer": {"name": "Ada"}, "customer_name": ""},
        {"customer": {"name": ""}, "customer_name": "Ada"},
    ],
)
def test_customer_that_is_equal_or_empty_under_the_other_name_is_accepted(given):
    assert to_order(**given).customer.name == "Ada"
