"""The notation of the limits of amounts."""

from __future__ import annotations

import re

import pytest

from orderfleet.domain.amount_limits import parse_amount_limits
from orderfleet.domain.payment import AmountLimits
from orderfleet.settings import Settings


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("USD:minimum=0.50", {"USD": AmountLimits(minimum=50)}),
        ("JPY:step=1,minimum=50", {"JPY": AmountLimits(minimum=50)}),
        (
            "USD:minimum=0.5; KWD:minimum=0.100,step=0.010;",
            {"USD": AmountLimits(minimum=50), "KWD": AmountLimits(step=10, minimum=100)},
        ),
    ],
)
def test_limits_are_read_in_minor_units(text: str, limits: dict[str, AmountLimits]) -> None:
    assert parse_amount_limits(text) == limits
    assert Settings(payment_limits=text).payment_limits == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("USD", "'USD' limits no currency"),
        ("XAU:step=1", "'XAU:step=1' limits no currency"),
        ("USD:least=1", "'USD:least=1' limits no currency"),
        ("USD:minimum=0.505", "'0.505' is no amount above 0 of USD, which has 2 decimals"),
        ("JPY:step=0.5", "'0.5' is no amount above 0 of JPY, which has 0 decimals"),
        ("USD:step=0", "'0' is no amount above 0 of USD"),
        ("USD:step=1.2.3", "'1.2.3' is no amount above 0 of USD"),
    ],
)
def test_wrong_limits_are_rejected_with_the_part(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_amount_limits(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        Settings(payment_limits=text)
