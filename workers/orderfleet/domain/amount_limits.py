"""The notation of a payment provider's limits of amounts, as a setting has it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from orderfleet.domain.money import EXPONENTS, minor_units, to_decimal
from orderfleet.domain.payment import AmountLimits

_ENTRY: Final = re.compile(r"(?P<currency>[A-Z]{3}):(?P<limits>(step|minimum)=[0-9.]+(,(step|minimum)=[0-9.]+)?)")


def parse_amount_limits(text: str) -> dict[str, AmountLimits]:
    """Parse limits by currency, such as `USD:minimum=0.50;KWD:step=0.010,minimum=0.100`.

    Args:
        text: the limits; empty for none.

    Raises:
        ValueError: the text is in another notation, or an amount is finer than its currency's minor unit.
    """
    found: dict[str, AmountLimits] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _ENTRY.fullmatch(part)
        if match is None or match["currency"] not in EXPONENTS:
            raise ValueError(f"{part!r} limits no currency; write USD:minimum=0.50;KWD:step=0.010,minimum=0.100")
        currency = match["currency"]
        limits = dict(limit.split("=") for limit in match["limits"].split(","))
        found[currency] = AmountLimits(**{name: _exact(value, currency) for name, value in limits.items()})
    return found


def _exact(text: str, currency: str) -> int:
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal(0)
    amount = minor_units(value, currency)
    if amount <= 0 or to_decimal(amount, currency) != value:
        raise ValueError(f"{text!r} is no amount above 0 of {currency}, which has {EXPONENTS[currency]} decimals")
    return amount
