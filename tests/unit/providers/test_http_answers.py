"""Answers over HTTP: `Retry-After`, and the reason of a rejection in one line that can be printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orderfleet.providers.http_answers import MAX_REASON_LENGTH, printable_line, reason, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun Mar  1 12:00:05 2026", 5),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 30, None),
        ("9" * 5000, None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_parsed_in_every_form(text: str, seconds: int | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_without_header_is_none() -> None:
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"title": "Refused", "detail": "card declined"}', "card declined"),
        (b'{"detail": "", "message": "no funds"}', "no funds"),
        (b'{"error": {"message": "no such card", "code": 1}}', "no such card"),
        (b'{"error": "expired"}', "expired"),
        (b'{"detail": ["a list"]}', "Phrase"),
        (b'{"detail": "a\\r\\n\\u0000b\\u202e"}', "a b"),
        (b"plain\nwords", "plain words"),
        (b"<!doctype html><h1>Oops", "Phrase"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", "Phrase"),
        (None, "Phrase"),
    ],
)
def test_reason_is_read_from_every_form_of_body(raw: bytes | None, expected: str) -> None:
    assert reason(raw, "Phrase") == expected


def test_reason_is_truncated() -> None:
    assert len(reason(b"x" * 10_000, None)) == MAX_REASON_LENGTH
    assert printable_line("y" * MAX_REASON_LENGTH) == "y" * MAX_REASON_LENGTH
    assert reason(b"", None) == "no reason given"
