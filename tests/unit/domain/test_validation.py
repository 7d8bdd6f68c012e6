from __future__ import annotations

from typing import Any

import pytest

from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.validation import problems
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
