"""Exact money: prices, amounts and the currencies an order may name.

Amounts are decimals with at most four places, end to end; nothing here is ever a float.
Currency codes follow ISO 4217 (list of active codes, without funds and test codes).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

DEFAULT_PRICE: Final = Decimal("1.00")
"""What an item counts when its price is left out and prices are not required."""

PRICE_PATTERN: Final = r"^\d{1,10}(\.\d{1,4})?$"
"""The text of a price in the Order resource."""

_FARTHEST: Final = 30
"""Digits before the point, or zeros behind it, beyond which nothing is an amount."""

CURRENCIES: Final = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()
)
"""Active ISO 4217 codes."""


def _read(value: Any) -> Any:
    if isinstance(value, bool):
        msg = "is not a decimal number; write it as text, such as 4.50"
        raise ValueError(msg)  # noqa: TRY004 - pydantic makes a problem of this one
    # A JSON number has been through a binary float on its way; its shortest text is what was meant.
    return repr(value) if isinstance(value, float) else value


def _in_reach(value: Decimal) -> Decimal:
    # Written out, 1e999999 has a million digits; times two it is more than a Decimal can be.
    if abs(value.adjusted()) > _FARTHEST:
        msg = "is out of range; use at most 10 digits before and 4 after the point"
        raise ValueError(msg)
    return value


Money = Annotated[Decimal, BeforeValidator(_read), PlainSerializer(str, return_type=str, when_used="json")]
"""An exact decimal; a string in JSON."""

Price = Annotated[Money, AfterValidator(_in_reach)]
"""What somebody gave as a price, right or wrong, and amounts can be reckoned from."""
