"""Rules that a valid order meets. They must be pure functions, since workflows use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from orderfleet.domain import address_rules
from orderfleet.domain.address_rules import is_blank
from orderfleet.domain.money import CURRENCIES
from orderfleet.domain.order import Address, OrderInput
from orderfleet.domain.policy import AddressChecks, AddressValidation

_MAX_PLACES: Final = 4
_MAX_QUANTITY: Final = 1_000_000  # of one item, as in the Order resource
_PRICE_LIMIT: Final = Decimal(10) ** 10
DEFAULT_ADDRESS_CHECKS: Final = AddressChecks()
_BASIC: Final = ("street", "city")
_EVERY_FIELD: Final = ("street", "city", "state", "zip", "country")
"""Fields that orders on the first defaults ask for."""
MAX_ORDER_BYTES: Final = 1024 * 1024
"""Maximum bytes of the JSON of items, address and customer. Temporal accepts 2 MiB per payload and terminates a
workflow that sends more, without compensation; the rest is for the other fields of a payload."""


def problems(
    order: OrderInput, *, require_prices: bool = True, address_checks: AddressChecks = DEFAULT_ADDRESS_CHECKS
) -> list[str]:
    """All problems of an order, each with its field and a remedy.

    Args:
        order: input of its workflow.
        require_prices: whether an item needs a price where the order's policy does not say.
        address_checks: how its address is checked where the order's policy does not say.
    """
    if order.policy.require_prices is not None:
        require_prices = order.policy.require_prices
    return [
        *_of_items(order, require_prices=require_prices),
        *address_problems(order.address, order.policy.address_checks or address_checks),
        *_of_currency(order.currency),
        *_of_size(order),
    ]


def address_problems(address: Address, checks: AddressChecks) -> list[str]:
    """The problems of an address, each with its field and a remedy; none quotes the address, which is personal data.

    Args:
        address: to check.
        checks: how; those of the order's start.
    """
    if checks.validation == "every_field":
        return [f"address.{name}: is empty; fill it in" for name in _EVERY_FIELD if not getattr(address, name).strip()]
    return [*_unstorable(address), *_of_address(address, checks)]


def split_address_problems(rejection: str) -> list[str] | None:
    """The problems in the reason of a rejected change of the address; None if another reason rejected it."""
    return re.split(r"; (?=address\.)", rejection) if rejection.startswith("address.") else None


def _of_address(address: Address, checks: AddressChecks) -> Iterator[str]:
    strict = checks.validation is AddressValidation.STRICT
    country = address_rules.known_country(checks.default_country if is_blank(address.country) else address.country)
    if strict and country is None and not is_blank(address.country):
        yield "address.country: is no country; write the two letters of ISO 3166-1, such as DE"
    if country is not None and checks.validation is not AddressValidation.BASIC:
        yield from address_rules.missing(country, address)
        if strict:
            yield from address_rules.malformed(country, address)
        return
    required = _BASIC if country is None else [name for name in _BASIC if name in country.required]
    yield from (f"address.{name}: is empty; fill it in" for name in required if is_blank(getattr(address, name)))


def _unstorable(address: Address) -> Iterator[str]:
    """Fields that Postgres rejects. Every other character reaches the carrier as it was sent."""
    for name, value in address:
        if "\0" in value:
            yield f"address.{name}: has a NUL, which is no character of a text; leave it out"


def _of_currency(currency: str) -> Iterator[str]:
    if currency not in CURRENCIES:
        yield f"currency: {currency!r} is unknown; use an ISO 4217 code such as USD or EUR"


def _of_size(order: OrderInput) -> Iterator[str]:
    sizes = {name: len(order.model_dump_json(include={name}).encode()) for name in ("items", "address", "customer")}
    total = sum(sizes.values())
    if total > MAX_ORDER_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        yield f"{largest}: the order has {total} bytes, above {MAX_ORDER_BYTES}; order less, or in several orders"


def _of_items(order: OrderInput, *, require_prices: bool) -> Iterator[str]:
    if not order.items:
        yield "items: there are none; add at least one"
    for index, item in enumerate(order.items):
        where = f"items[{index}]"
        if not item.sku.strip():
            yield f"{where}.sku: is empty; name the article"
        if item.qty < 1:
            yield f"{where}.qty: {item.qty} is below 1; order at least one"
        if item.qty > _MAX_QUANTITY:
            yield f"{where}.qty: is above {_MAX_QUANTITY}; order less, or in several items"
        if item.price is None:
            if require_prices:
                yield f"{where}.price: is missing; give it, as text such as 4.50"
        elif not item.price.is_finite() or item.price < 0:
            yield f"{where}.price: {item.price} is not a price; use 0 or more"
        elif item.price >= _PRICE_LIMIT or _places(item.price) > _MAX_PLACES:
            yield f"{where}.price: {item.price} is out of range; use at most 10 digits before and 4 after the point"


def _places(price: Decimal) -> int:
    exponent = price.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
