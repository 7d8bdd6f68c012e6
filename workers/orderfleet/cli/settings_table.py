"""The settings as documentation and as they are in effect. `orderfleet settings` and the docs test call it.

It must never show a secret: of a URL the password is left out, of any other secret everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from pydantic import SecretStr

from orderfleet.cli.configuration import variables
from orderfleet.contracts.duration import format_duration
from orderfleet.runtime.settings import Settings

BEGIN: Final = "<!-- settings: begin; `orderfleet settings --write deploy/docs/settings.md` renews it -->"
END: Final = "<!-- settings: end -->"

_PASSWORD: Final = re.compile(r"(?<=://)([^:/@?#]*):[^@/?#]*(?=@)|((?:^|[?&])password=)[^&]*")


def markdown() -> str:
    """The table of every setting: names, default, meaning."""
    lines = ["| variable | default | |", "|---|---|---|"]
    for field, info in Settings.model_fields.items():
        ours, *others = variables(field)
        names = f"`{ours}`" + (f"<br>or {', '.join(f'`{name}`' for name in others)}" if others else "")
        lines.append(f"| {names} | {_cell(info.default)} | {info.description} |")
    return "\n".join(lines)


def write(text: str) -> str:
    """`text` with the table between its marks made anew.

    Raises:
        ValueError: the marks are missing.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for the table; add the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{markdown()}\n{END}{tail}"


def effective(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Variable, value and whether something set it, for every setting."""
    for field in Settings.model_fields:
        yield variables(field)[0], told(getattr(settings, field)), field in settings.model_fields_set


def told(value: Any) -> str:
    """A value as it would be written in the environment, without what is secret."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return _without_password(secret) if "://" in secret else "***"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    return _PASSWORD.sub(lambda found: f"{found[2]}***" if found[2] else f"{found[1]}:***", url)


def _cell(value: Any) -> str:
    text = told(value)
    return f"`{text}`" if text else ""
