"""How the order workflow reads texts that are too long."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from orderfleet.domain.inputs import InputRejected
from orderfleet.domain.order import OrderInput
from orderfleet.orders.intake import read_and_cut
from support.factories import ADDRESS_JSON

ORDER: dict[str, Any] = {
    "order_id": "a",
    "items": [{"sku": "tea", "qty": 1}],
    "address": ADDRESS_JSON,
    "customer": {"name": "Ann", "email": "ann@example.com"},
}
LONG = "☃" * 3000


@pytest.mark.parametrize(
    ("place", "length"),
    [
        (("items", 0, "sku"), 128),
        (("address", "street"), 256),
        (("address", "city"), 256),
        (("address", "state"), 256),
        (("address", "zip"), 32),
        (("address", "country"), 256),
        (("customer", "name"), 256),
        (("customer", "email"), 320),
        (("currency",), 3),
        (("owner",), 507),
        (("owner_uid",), 256),
        (("content_hash",), 128),
    ],
)
def test_text_that_is_too_long_is_cut_and_named(place: tuple[int | str, ...], length: int) -> None:
    given = copy.deepcopy(ORDER)
    inner: Any = given
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = LONG
    order, wrong = read_and_cut(given)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    assert wrong == f"{name}: has more than {length} characters; write less"
    inner[place[-1]] = LONG[:length]
    assert order == OrderInput.model_validate(given)


def test_several_texts_that_are_too_long_are_all_named() -> None:
    address = {"line1": LONG, "city": LONG, "state": "IL", "zip": "1", "country": "US"}
    found = read_and_cut({**ORDER, "address": address})
    assert found[1] is not None
    assert found[1].startswith("address.line1: has more than 256 characters; write less; address.city: ")
    assert found[0].address.street == LONG[:256]


def test_order_that_is_also_wrong_elsewhere_is_not_read() -> None:
    with pytest.raises(InputRejected, match=r"items\[0\]\.qty: "):
        read_and_cut({**ORDER, "customer": {"name": LONG}, "items": [{"sku": "a", "qty": "many"}]})


def test_order_without_faults_is_read_as_it_is() -> None:
    assert read_and_cut(ORDER) == (OrderInput.model_validate(ORDER), None)


Short = Annotated[str, Field(max_length=3)]


class Town(BaseModel):
    city: Short


class Region(BaseModel):
    state: Short


class OddLocations(BaseModel):
    """Its problems have locations that name a branch of a union, which is no key of the value."""

    text: Short | int = 0
    place: Town | Region | None = None


@pytest.mark.parametrize("given", [{"text": LONG}, {"place": {"city": LONG}}])
def test_text_at_a_location_that_is_no_path_of_the_value_is_rejected(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setattr("orderfleet.orders.intake.OrderInput", OddLocations)
    (name,) = given
    with pytest.raises(InputRejected, match=rf"{name}\..*: has more than 3 characters"):
        read_and_cut(given)
