"""Ids and names from an adapter can always be stored."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orderfleet.domain.base import MAX_NAME_LENGTH
from orderfleet.domain.payment import Charge
from orderfleet.domain.shipment import Booking


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("ch_1", "ch_1"),
        ("Größe 1", "Größe 1"),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("x" * 3_000_000, "x" * MAX_NAME_LENGTH),
    ],
    ids=["plain", "latin", "NUL", "surrogate", "long"],
)
def test_name_is_bounded_and_printable(given: str, stored: str) -> None:
    assert Charge(reference=given).reference == stored
    assert Booking(carrier=given, tracking_number=given) == Booking(carrier=stored, tracking_number=stored)
    assert Charge(reference=given).model_dump_json()


def test_name_that_is_not_a_text_is_rejected() -> None:
    with pytest.raises(ValidationError):
        Charge(reference=1)  # type: ignore[arg-type]
