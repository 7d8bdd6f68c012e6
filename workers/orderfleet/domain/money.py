"""Prices, amounts and currencies of an order.

Amounts are decimals with at most four places and must never be floats. Currency codes are those of ISO 4217 (active
codes, without funds and test codes).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

DEFAULT_CURRENCY: Final = "USD"
"""Of an order that names none."""

DEFAULT_PRICE: Final = Decimal("1.00")
"""Price of an item without one, where prices are not required."""

PRICE_PATTERN: Final = r"^\d{1,10}(\.\d{1,4})?$"
"""Pattern of a price in the Order resource."""

_MAX_EXPONENT: Final = 30
"""Largest power of ten, positive or negative, of a price."""

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
"""A price as a client sent it, valid or not, from which an amount can be computed."""
