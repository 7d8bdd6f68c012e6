"""Times and durations of options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from orderfleet.cli.output import duration, parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T09:30:00+01:00", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-11-21T09:30Z", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
    ],
)
def test_parse_time_without_a_zone_is_utc(text, expected):
    assert parse_time(text) == expected


def test_parse_time_of_a_duration_is_before_now():
    before = datetime.now(UTC)
    assert before <= parse_time("1h30m") + timedelta(minutes=90) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "99999999999h"])
def test_parse_time_of_other_text_raises_with_the_format(text):
    with pytest.raises(typer.BadParameter, match="write 24h"):
        parse_time(text)


def test_duration_is_parsed():
    assert duration("1h30m") == timedelta(minutes=90)


@pytest.mark.parametrize(("text", "message"), [("long", "write 24h"), ("99999999999999h", "too long")])
def test_duration_of_other_text_raises_with_the_format(text, message):
    with pytest.raises(typer.BadParameter, match=message):
        duration(text)
