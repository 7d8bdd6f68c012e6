"""Moments and lengths of time as options take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from orderfleet.cli.output import length, moment


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T09:30:00+01:00", datetime(2026, 11, 21, 8, 30, tzinfo=UTC)),
        ("2026-11-21T09:30Z", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
    ],
)
def test_times_without_a_zone_are_utc(text, found):
    assert moment(text) == found


def test_a_duration_is_so_long_ago():
    before = datetime.now(UTC)
    assert before <= moment("1h30m") + timedelta(minutes=90) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "99999999999h"])
def test_what_is_no_moment_is_refused_with_the_notation(text):
    with pytest.raises(typer.BadParameter, match="write 24h"):
        moment(text)


def test_a_length_is_read():
    assert length("1h30m") == timedelta(minutes=90)


@pytest.mark.parametrize(("text", "told"), [("long", "write 24h"), ("99999999999999h", "too long")])
def test_what_is_no_length_is_refused_and_told(text, told):
    with pytest.raises(typer.BadParameter, match=told):
        length(text)
