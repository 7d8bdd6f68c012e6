"""Currencies, prices, adjustments and amounts of an order, and how its money is divided among lines and pieces.

An amount is an integer of the minor units of its currency (ISO 4217): 900 is 9.00 USD. Decimals are read from clients
and shown to readers; they must never be floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from iso4217 import Currency
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from orderfleet.domain.base import Contract

EXPONENTS: Final[Mapping[str, int]] = {each.code: each.exponent for each in Currency if each.exponent is not None}
"""Decimals of the minor unit by ISO 4217 code. Gold and other codes without a minor unit are left out."""

DEFAULT_CURRENCY: Final = "USD"
"""Of an order that names none."""

DEFAULT_PRICE: Final = Decimal("1.00")
"""Price of an item without one, where prices are not required."""

PRICE_PATTERN: Final = r"^\d{1,10}(\.\d{1,4})?$"
"""Pattern of a price in the Order resource."""

ADJUSTMENT_PATTERN: Final = r"^-?\d{1,10}(\.\d{1,4})?$"
"""Pattern of an adjustment's amount in the Order resource."""

MAX_AMOUNT: Final = 10**15
"""Largest amount of an order, in minor units: exact as a number of JSON in every language, which has 53 bits."""

_MAX_EXPONENT: Final = 30
"""Largest power of ten, positive or negative, of a price."""

_UNKNOWN_EXPONENT: Final = 2
"""For the amount of an order whose currency is unknown; it is recorded, and fails validation."""

_HALF_UP: Final = Context(prec=100, rounding=ROUND_HALF_UP)
"""Exact for every valid price and quantity."""


def _read(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a decimal number; write it as text, such as 4.50")  # noqa: TRY004 - pydantic reports a ValueError as a problem of the field
    # A JSON number was parsed as a binary float; its shortest text is what the client wrote.
    return repr(value) if isinstance(value, float) else value


def _in_range(value: Decimal) -> Decimal:
    # 1e999999 written in full has a million digits, and twice its value exceeds the range of a Decimal.
    if abs(value.adjusted()) > _MAX_EXPONENT:
        raise ValueError("is out of range; use at most 10 digits before and 4 after the point")
    return value


Money = Annotated[Decimal, BeforeValidator(_read), PlainSerializer(str, return_type=str, when_used="json")]
"""An exact decimal; a string in JSON."""

Price = Annotated[Money, AfterValidator(_in_range)]
"""A price or an adjustment as a client sent it, valid or not, from which an amount can be computed."""

LineId = Annotated[str, Field(max_length=64)]
"""Id of a line of an order."""

SHIPPING_LINE: Final = "shipping"
"""Id of the line of one piece that an order's shipping costs are; no item has it."""


class AdjustmentKind(StrEnum):
    """What an adjustment is for."""

    SHIPPING = "shipping"
    TAX = "tax"
    DISCOUNT = "discount"
    FEE = "fee"


class Adjustment(Contract):
    """An amount beside the prices of the items: of the whole order, or of one of its lines."""

    kind: AdjustmentKind = Field(description="Only a discount lowers the amount.")
    amount: Price = Field(
        description="With no more decimals than the currency has, best as a string: 0 or less for a discount, 0 or"
        " more for the others.",
        examples=["-1.50"],
    )
    description: str = Field(default="", max_length=256, description="For people, such as a tax rate or a voucher.")
    line: LineId = Field(
        default="",
        description="Id of the item that the adjustment is for. Without it, it is for the whole order: shipping is a"
        " line of its own, the others are divided among the items in proportion to their amounts.",
    )

    @property
    def for_items(self) -> bool:
        """Whether it is divided among all items: it names no line and is not shipping."""
        return not self.line and self.kind is not AdjustmentKind.SHIPPING


def exponent(currency: str) -> int:
    """Decimals of a currency's minor unit."""
    return EXPONENTS.get(currency, _UNKNOWN_EXPONENT)


def minor_units(value: Decimal, currency: str) -> int:
    """A decimal in minor units of its currency, rounded half up."""
    return int(_HALF_UP.scaleb(value, exponent(currency)).to_integral_value(ROUND_HALF_UP))


def to_decimal(amount: int, currency: str) -> Decimal:
    """An amount in minor units as a decimal with exactly the decimals of its currency."""
    return _HALF_UP.scaleb(Decimal(amount), -exponent(currency))


def amount_text(amount: int, currency: str) -> str:
    """An amount for people, such as `9.00 USD`."""
    return f"{to_decimal(amount, currency)} {currency}"


def line_total(qty: int, price: Decimal, currency: str) -> int:
    """Quantity times unit price, rounded half up once to minor units."""
    return minor_units(_HALF_UP.multiply(Decimal(qty), price), currency)


def order_total(lines: Iterable[int], adjustments: Iterable[Adjustment], currency: str) -> int:
    """The sum of lines and adjustments in minor units; that of an invalid order is cut to `MAX_AMOUNT`.

    Args:
        lines: totals of the items.
        adjustments: of the order and its lines.
        currency: of all of them.
    """
    total = sum(lines) + sum(minor_units(each.amount, currency) for each in adjustments)
    return max(-MAX_AMOUNT, min(total, MAX_AMOUNT))


def allocate(amount: int, weights: Sequence[int], step: int = 1) -> list[int]:
    """Divide an amount in proportion to weights, by the method of the largest remainder; ties go to the lower index.

    Args:
        amount: a multiple of `step`, also a negative one.
        weights: 0 or more each, and not all 0.
        step: each share is a multiple of it.

    Returns:
        One share for each weight; their sum is `amount`.
    """
    sign, size, whole = (-1 if amount < 0 else 1), abs(amount) // step, sum(weights)
    shares = [size * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: -(size * weights[index] % whole))
    for index in by_remainder[: size - sum(shares)]:
        shares[index] += 1
    return [sign * step * share for share in shares]


def adjustment_shares(
    lines: Mapping[str, tuple[int, int]], adjustments: Sequence[Adjustment], currency: str, step: int = 1
) -> list[dict[str, int]]:
    """Divide each adjustment among the items, in minor units.

    An adjustment that names a line is that line's. The others are divided in proportion to the lines' totals with those
    adjustments, each by itself; by quantity where all totals are 0. Discounts come last, in proportion to what each
    line has then, so that no line of a valid order ends below 0.

    Args:
        lines: quantity and total of each item, by its line id.
        adjustments: of a valid order.
        currency: of the order.
        step: each share is a multiple of it, as the amounts are.

    Returns:
        For each adjustment its shares by line id; none for shipping of the whole order, which is a line of one piece.
    """
    amounts = [minor_units(each.amount, currency) for each in adjustments]
    shares: list[dict[str, int]] = [
        {each.line: amount} if each.line else {} for each, amount in zip(adjustments, amounts, strict=True)
    ]
    totals = {line: total + sum(share.get(line, 0) for share in shares) for line, (_, total) in lines.items()}
    remaining = dict(totals)
    divided = [index for index, each in enumerate(adjustments) if each.for_items]
    for index in sorted(divided, key=lambda index: adjustments[index].kind is AdjustmentKind.DISCOUNT):
        weights = remaining if adjustments[index].kind is AdjustmentKind.DISCOUNT else totals
        if not any(weights.values()):
            weights = {line: qty for line, (qty, _) in lines.items()}
        shares[index] = dict(zip(lines, allocate(amounts[index], list(weights.values()), step), strict=True))
        for line, share in shares[index].items():
            remaining[line] += share
    return shares


def pieces_value(amount: int, pieces: int, start: int, end: int, step: int = 1) -> int:
    """The value of some pieces of a line. However a line is cut, its parts add up to its amount.

    Args:
        amount: of the line with its adjustments, a multiple of `step`.
        pieces: of the line, numbered from 0.
        start: the first of them.
        end: after the last of them.
        step: the value is a multiple of it.
    """
    steps = amount // step
    return step * (steps * end // pieces - steps * start // pieces)
