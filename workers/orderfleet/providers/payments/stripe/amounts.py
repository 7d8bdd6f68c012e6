"""Amounts as Stripe writes them, and what it asks of each currency (https://docs.stripe.com/currencies).

Stripe counts in its own smallest unit, which differs from the minor unit of ISO 4217 for a few currencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.money import amount_text, exponent, minor_units
from orderfleet.domain.payment import AmountLimits

_DECIMALS: Final[Mapping[str, int]] = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Decimals at Stripe where they aren't those of ISO 4217. ISK and UGX have two that must be 0; MGA has none."""

_LAST_DIGIT_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Currencies of three decimals, of which Stripe asks the last to be 0."""

_MINIMUMS: Final[Mapping[str, str]] = {
    **dict.fromkeys("ARS AUD BRL CAD CHF COP EUR IDR ILS INR NZD PHP RUB SGD USD ZAR".split(), "0.50"),
    **dict.fromkeys("AED MYR PLN RON".split(), "2.00"),
    **dict.fromkeys("NOK SEK".split(), "3.00"),
    "BGN": "1.00",
    "CZK": "15.00",
    "DKK": "2.50",
    "GBP": "0.30",
    "HKD": "4.00",
    "HUF": "175.00",
    "JPY": "50",
    "KRW": "50",
    "MXN": "10",
    "THB": "10",
}
"""Least charges in major units. Of the others Stripe asks for the equivalent in the currency of the bank account."""


def limits(currency: str) -> AmountLimits:
    """What Stripe asks of an amount of a currency."""
    step = 10 if currency in _LAST_DIGIT_ZERO else 10 ** max(exponent(currency) - _decimals(currency), 0)
    return AmountLimits(step=step, minimum=minor_units(Decimal(_MINIMUMS.get(currency, "0")), currency))


def to_stripe(amount: int, currency: str) -> int:
    """An amount as Stripe writes it.

    Args:
        amount: in minor units of the currency.
        currency: its ISO 4217 code.

    Raises:
        PaymentRefused: it is no multiple of the currency's step.
    """
    step = limits(currency).step
    if amount % step:
        raise PaymentRefused(f"Stripe takes {currency} in steps of {amount_text(step, currency)}, not {amount}")
    return int(Decimal(amount).scaleb(_decimals(currency) - exponent(currency)))


def from_stripe(amount: int, currency: str) -> int:
    """An amount of Stripe in minor units of its currency.

    Args:
        amount: as Stripe writes it.
        currency: its ISO 4217 code, in any case.
    """
    code = currency.upper()
    return int(Decimal(amount).scaleb(exponent(code) - _decimals(code)))


def _decimals(currency: str) -> int:
    return _DECIMALS.get(currency, exponent(currency))
