from __future__ import annotations

from typing import Any

import pytest

from orderfleet.domain.money import Adjustment
from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.domain.payment import AmountLimits
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.validation import limit_problems, problems
from support.factories import ADDRESS, order_input


def order(**changes: Any) -> OrderInput:
    return order_input("a", **{"policy": OrderPolicy(require_prices=False), **changes})


def test_valid_order_has_no_problems() -> None:
    assert problems(order()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"items": ()}, "items: there are none"),
        ({"items": (Item(sku="w", qty=0),)}, "items[0].qty: 0 is below 1"),
        ({"items": (Item(sku="w", qty=1), Item(sku="w", qty=-3))}, "items[1].qty: -3 is below 1"),
        ({"items": (Item(sku=" ", qty=1),)}, "items[0].sku: is empty"),
        ({"items": (Item(sku="w", qty=1, price="-0.01"),)}, "items[0].price: -0.01 is not a price"),
        ({"items": (Item(sku="w", qty=1, price="0.00001"),)}, "items[0].price: 0.00001 is out of range"),
        ({"items": (Item(sku="w", qty=1, price="10000000000"),)}, "items[0].price: 10000000000 is out of range"),
        ({"items": (Item(sku="w", qty=1),) * 40_000}, "items: the order has "),
        ({"currency": "XXX"}, "currency: 'XXX' is unknown"),
        ({"currency": "usd"}, "currency: 'usd' is unknown"),
        ({"address": ADDRESS.model_copy(update={"zip": "  "})}, "address.zip: is required in US; write it as 95014"),
        (
            {"items": (Item(sku="w", qty=1),), "policy": OrderPolicy(require_prices=True)},
            "items[0].price: is missing",
        ),
    ],
)
def test_each_problem_names_its_field(changes: dict[str, Any], field: str) -> None:
    [problem] = problems(order(**changes))
    assert problem.startswith(field)


@pytest.mark.parametrize("worker_requires", [True, False])
def test_missing_price_without_policy_follows_setting_of_worker(worker_requires: bool) -> None:
    raw = order(items=(Item(sku="w", qty=1),), policy=OrderPolicy())
    assert bool(problems(raw, require_prices=worker_requires)) is worker_requires


def test_order_with_several_problems_reports_all() -> None:
    assert len(problems(order(items=(), address=Address(), currency="?"))) == 4


def test_trailing_zeros_of_price_are_ignored() -> None:
    assert problems(order(items=(Item(sku="w", qty=1, price="1.000000"),))) == []


def adjustments(*given: dict[str, Any]) -> dict[str, Any]:
    return {"adjustments": tuple(Adjustment.model_validate(each) for each in given)}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"currency": "XAU"}, "currency: 'XAU' is unknown or has no minor unit; use an ISO 4217 code such as USD"),
        (
            adjustments({"kind": "tax", "amount": "1.234"}),
            "adjustments[0].amount: has 3 decimals, USD has 2; round it",
        ),
        (
            {"currency": "JPY", **adjustments({"kind": "tax", "amount": "1.5"})},
            "adjustments[0].amount: has 1 decimals, JPY has 0; round it",
        ),
        (
            adjustments({"kind": "discount", "amount": "1"}),
            "adjustments[0].amount: 1 is above 0; write a discount as 0 or less",
        ),
        (
            adjustments({"kind": "fee", "amount": "1"}, {"kind": "shipping", "amount": "-1"}),
            "adjustments[1].amount: -1 is below 0; only a discount can be",
        ),
        (
            adjustments({"kind": "tax", "amount": "1e10"}),
            "adjustments[0].amount: 1E+10 is out of range; use at most 10 digits before the point",
        ),
        (
            adjustments({"kind": "tax", "amount": "1", "line": "9"}),
            "adjustments[0].line: no item has the id '9'; name one, or leave it out for the whole order",
        ),
        (
            adjustments({"kind": "discount", "amount": "-19.99", "line": "1"}),
            "adjustments: the discounts of line '1' are 0.01 USD above its amount; lower them",
        ),
        (
            adjustments({"kind": "discount", "amount": "-21"}, {"kind": "shipping", "amount": "5"}),
            "adjustments: the discounts are 1.02 USD above the amount of the items; lower them",
        ),
        (adjustments(*[{"kind": "fee", "amount": "1"}] * 51), "adjustments: there are 51; give at most 50"),
        (
            {"items": (Item(id="a", sku="w", qty=1, price="1"), Item(id="a", sku="w", qty=1, price="1"))},
            "items[0].id: 'a' is the id of another line too; a line without an id has its number",
        ),
        (
            {"items": (Item(id="2", sku="w", qty=1, price="1"), Item(sku="w", qty=1, price="1"))},
            "items[0].id: '2' is the id of another line too; a line without an id has its number",
        ),
        (
            {"items": (Item(id="shipping", sku="w", qty=1, price="1"),)},
            "items[0].id: 'shipping' is the line of the shipping costs; choose another id",
        ),
        (
            {"items": (Item(sku="w", qty=10**6, price="9999999999"),)},
            "items: the order's amount reaches 10000000000000.00 USD; order less, or in several orders",
        ),
    ],
)
def test_money_problem_names_its_field_and_the_remedy(changes: dict[str, Any], problem: str) -> None:
    assert problems(order(**changes))[0] == problem


def test_valid_adjustments_have_no_problems() -> None:
    given = adjustments(
        {"kind": "tax", "amount": "1.50"},
        {"kind": "discount", "amount": "-19.98", "line": "1"},
        {"kind": "discount", "amount": "-1.500"},
        {"kind": "shipping", "amount": "0"},
        {"kind": "fee", "amount": "0", "line": "1"},
    )
    assert problems(order(**given)) == []
    assert order(**given).amount == 0


@pytest.mark.parametrize(
    ("price", "currency", "limits", "problem"),
    [
        ("0.30", "USD", AmountLimits(minimum=50), "amount 0.30 USD is below 0.50 USD, the payment provider's minimum"),
        ("1.001", "KWD", AmountLimits(step=10), "amount 1.001 KWD is no multiple of 0.010 KWD"),
        ("0.50", "USD", AmountLimits(minimum=50), None),
        ("1.010", "KWD", AmountLimits(step=10), None),
        ("0", "USD", AmountLimits(step=100, minimum=50), None),
    ],
)
def test_amount_outside_of_the_providers_limits_is_named_with_a_remedy(price, currency, limits, problem):
    order = order_input("o-1", items=[{"sku": "tea", "qty": 1, "price": price}], currency=currency)
    found = limit_problems(order, limits)
    assert len(found) == (problem is not None)
    if problem is not None:
        assert found[0].startswith("items: the order's ")
        assert problem in found[0]
        assert ";" in found[0]
