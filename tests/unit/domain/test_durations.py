from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orderfleet.domain.durations import Duration, format_duration, parse_duration

adapter = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("3s", 3), ("250ms", 0.25), ("0s", 0), ("1.5h", 5400)]
)
def test_duration_in_kubernetes_notation_is_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "24", "h", "1d", "-3s", "3 s", "3s!", "P1D"])
def test_other_text_is_rejected_with_the_notation(text: str) -> None:
    with pytest.raises(ValueError, match="write 24h"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**15).map(lambda us: timedelta(microseconds=us)))
def test_formatted_duration_is_parsed_to_same_value(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


def test_number_is_read_as_seconds() -> None:
    assert adapter.validate_python(3) == adapter.validate_python("3") == timedelta(seconds=3)
    assert adapter.dump_json(timedelta(minutes=90)) == b'"1h30m"'


@pytest.mark.parametrize("text", ["1000000h", "99999999999999999h", f"{'9' * 400}h"])
def test_too_long_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="is too long: write 999999h or less"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [31_557_600_001, 1e300, "1" * 400])
def test_too_long_number_of_seconds_is_rejected(seconds: float | str) -> None:
    with pytest.raises(ValidationError):
        adapter.validate_python(seconds)


def test_invalid_duration_in_model_is_rejected_with_problem() -> None:
    with pytest.raises(ValidationError, match="is not a duration"):
        adapter.validate_python("soon")
