"""Moments and lengths of time as people give them to an option. Commands name these as parsers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import typer

from orderfleet.contracts.duration import parse_duration


def moment(text: str | datetime) -> datetime:
    """Read `24h` (so long ago), `2026-11-21` (its first moment) or `2026-11-21T09:30:00+01:00`; UTC without a zone.

    Raises:
        typer.BadParameter: it is none of them.
    """
    if isinstance(text, datetime):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - parse_duration(text)
        except ValueError:
            raise typer.BadParameter(
                f"{text!r} is no moment: write 24h for that long ago, or a time such as 2026-11-21T09:30Z"
            ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def length(text: str) -> timedelta:
    """Read `24h`, `1h30m` or `90s`.

    Raises:
        typer.BadParameter: it is no duration, or too long a one.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
