"""Rules that a valid order meets. They must be pure functions, since workflows use them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from orderfleet.domain import address_rules
from orderfleet.domain.address_rules import is_blank
from orderfleet.domain.money import EXPONENTS, MAX_AMOUNT, SHIPPING_LINE, AdjustmentKind, amount_text, minor_units
from orderfleet.domain.order import Address, OrderInput, line_ids, line_totals
from orderfleet.domain.payment import AmountLimits
from orderfleet.domain.policy import AddressChecks, AddressValidation

_MAX_PLACES: Final = 4
_MAX_QUANTITY: Final = 1_000_000  # of one item, as in the Order resource
_PRICE_LIMIT: Final = Decimal(10) ** 10
_MAX_ADJUSTMENTS: Final = 50  # as in the Order resource
DEFAULT_ADDRESS_CHECKS: Final = AddressChecks()
_BASIC: Final = ("street", "city")
"""Fields that the lowest level asks for."""
MAX_ORDER_BYTES: Final = 1024 * 1024
"""Maximum bytes of the JSON of items, adjustments, address and customer. Temporal accepts 2 MiB per payload and
terminates a workflow that sends more, without compensation; the rest is for the other fields of a payload."""


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
    of_money = [*_of_items(order, require_prices=require_prices), *_of_adjustments(order)]
    return [
        # Only valid prices and adjustments have sums.
        *(of_money or _of_sums(order)),
        *address_problems(order.address, order.policy.address_checks or address_checks),
        *_of_currency(order.currency),
        *_of_size(order),
    ]


def limit_problems(order: OrderInput, limits: AmountLimits) -> list[str]:
    """Why the payment provider would reject the amount of a valid order; empty if it would not.

    Args:
        order: input of its workflow.
        limits: those of the provider for the order's currency.
    """
    amount, currency = order.amount, order.currency
    found = []
    if amount % limits.step:
        step = amount_text(limits.step, currency)
        found.append(
            f"items: the order's amount {amount_text(amount, currency)} is no multiple of {step}, which the payment"
            " provider requires; change a price, or add an adjustment that rounds it"
        )
    if 0 < amount < limits.minimum:
        least = amount_text(limits.minimum, currency)
        found.append(
            f"items: the order's amount {amount_text(amount, currency)} is below {least}, the payment provider's"
            " minimum; order more, or make it free of charge"
        )
    return found


def address_problems(address: Address, checks: AddressChecks) -> list[str]:
    """The problems of an address, each with its field and a remedy; none quotes the address, which is personal data.

    Args:
        address: to check.
        checks: how; those of the order's start.
    """
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
    if currency not in EXPONENTS:
        yield f"currency: {currency!r} is unknown or has no minor unit; use an ISO 4217 code such as USD"


def _of_size(order: OrderInput) -> Iterator[str]:
    sizes = {
        name: len(order.model_dump_json(include={name}).encode())
        for name in ("items", "adjustments", "address", "customer")
    }
    total = sum(sizes.values())
    if total > MAX_ORDER_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        yield f"{largest}: the order has {total} bytes, above {MAX_ORDER_BYTES}; order less, or in several orders"


def _of_adjustments(order: OrderInput) -> Iterator[str]:
    if len(order.adjustments) > _MAX_ADJUSTMENTS:
        yield f"adjustments: there are {len(order.adjustments)}; give at most {_MAX_ADJUSTMENTS}"
    lines = set(line_ids(order.items))
    for index, adjustment in enumerate(order.adjustments):
        where, amount = f"adjustments[{index}]", adjustment.amount
        places, exponent = _places(amount), EXPONENTS.get(order.currency, _MAX_PLACES)
        if places > exponent:
            yield f"{where}.amount: has {places} decimals, {order.currency} has {exponent}; round it"
        if abs(amount) >= _PRICE_LIMIT:
            yield f"{where}.amount: {amount} is out of range; use at most 10 digits before the point"
        is_discount = adjustment.kind is AdjustmentKind.DISCOUNT
        if (is_discount and amount > 0) or (not is_discount and amount < 0):
            side = "above 0; write a discount as 0 or less" if amount > 0 else "below 0; only a discount can be"
            yield f"{where}.amount: {amount} is {side}"
        if adjustment.line and adjustment.line not in lines:
            yield f"{where}.line: no item has the id {adjustment.line!r}; name one, or leave it out for the whole order"


def _of_sums(order: OrderInput) -> Iterator[str]:
    lines = dict(zip(line_ids(order.items), line_totals(order.items, order.currency), strict=True))
    divided = 0
    for adjustment in order.adjustments:
        amount = minor_units(adjustment.amount, order.currency)
        if adjustment.line:
            lines[adjustment.line] += amount
        elif adjustment.for_items:
            divided += amount
    for line, total in lines.items():
        if total < 0:
            above = amount_text(-total, order.currency)
            yield f"adjustments: the discounts of line {line!r} are {above} above its amount; lower them"
    of_lines = sum(lines.values())
    # A sum below 0 has a line below 0, which is reported already.
    if of_lines >= 0 and of_lines + divided < 0:
        above = amount_text(-divided - of_lines, order.currency)
        yield f"adjustments: the discounts are {above} above the amount of the items; lower them"
    if order.amount >= MAX_AMOUNT:
        limit = amount_text(MAX_AMOUNT, order.currency)
        yield f"items: the order's amount reaches {limit}; order less, or in several orders"


def _of_items(order: OrderInput, *, require_prices: bool) -> Iterator[str]:
    if not order.items:
        yield "items: there are none; add at least one"
    ids = Counter(line_ids(order.items))
    for index, item in enumerate(order.items):
        where = f"items[{index}]"
        if item.id and ids[item.id] > 1:
            yield f"{where}.id: {item.id!r} is the id of another line too; a line without an id has its number"
        if item.id == SHIPPING_LINE:
            yield f"{where}.id: {item.id!r} is the line of the shipping costs; choose another id"
        if not item.sku.strip():
            yield f"{where}.sku: is empty; name the article"
        if item.qty < 1:
            yield f"{where}.qty: {item.qty} is below 1; order at least one"
        if item.qty > _MAX_QUANTITY:
            yield f"{where}.qty: is above {_MAX_QUANTITY}; order less, or in several items"
        yield from _of_price(item.price, f"{where}.price", required=require_prices)


def _of_price(price: Decimal | None, where: str, *, required: bool) -> Iterator[str]:
    if price is None:
        if required:
            yield f"{where}: is missing; give it, as text such as 4.50"
    elif not price.is_finite() or price < 0:
        yield f"{where}: {price} is not a price; use 0 or more"
    elif price >= _PRICE_LIMIT or _places(price) > _MAX_PLACES:
        yield f"{where}: {price} is out of range; use at most 10 digits before and 4 after the point"


def _places(value: Decimal) -> int:
    return len(f"{value:f}".partition(".")[2].rstrip("0"))
