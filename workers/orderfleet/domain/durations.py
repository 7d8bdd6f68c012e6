"""Durations in manifests, settings and workflow inputs: `24h`, `1h30m`, `3s`, `250ms`.

The notation is that of Kubernetes' `metav1.Duration` (Go's `time.ParseDuration`). Numbers are seconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

_UNITS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|s)")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|us|s))+")

MAX_DURATION: Final = timedelta(hours=999_999)
"""114 years. Longer ones could give a date beyond the year 9999, with which a workflow can't continue."""
MIN_DURATION: Final = timedelta(microseconds=1)
"""Resolution of `timedelta`. A finer text is rejected, since rounding would change it."""


# An order has some thirty durations, most of them equal, and is read and written at every step.
_cached = lru_cache(maxsize=1024)


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `1h30m`, `250ms` or `0s`.

    Raises:
        ValueError: the text is not a duration, or it is too long or too fine; the message shows the notation.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write 24h, 1h30m, 3s or 250ms")
    microseconds = sum((Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    if microseconds > MAX_DURATION // MIN_DURATION:
        raise ValueError(f"{text!r} is too long: write {format_duration(MAX_DURATION)} or less")
    if microseconds != int(microseconds):
        raise ValueError(f"{text!r} is finer than a microsecond: write whole microseconds, such as 1us or 0.25ms")
    return timedelta(microseconds=int(microseconds))


@_cached
def format_duration(value: timedelta) -> str:
    """Format a duration in the same notation, without parts that are zero: `1h30m`."""
    remaining = round(value.total_seconds() * 1_000_000)
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, remaining = divmod(remaining, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _read(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a duration; write 24h, 1h30m, 3s or 250ms")  # noqa: TRY004 - pydantic reports a ValueError as a problem of the field
    # Pydantic reads a number of seconds and a timedelta.
    return _of_text(value) if isinstance(value, str) else value


@_cached
def _of_text(text: str) -> float | timedelta:
    return float(text) if _SECONDS.fullmatch(text) else parse_duration(text)


Duration = Annotated[
    timedelta, Field(le=MAX_DURATION), BeforeValidator(_read), PlainSerializer(format_duration, return_type=str)
]
"""A `timedelta` that is read and written in Kubernetes' notation."""

PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]
"""A `Duration` from `MIN_DURATION` to `MAX_DURATION`."""
