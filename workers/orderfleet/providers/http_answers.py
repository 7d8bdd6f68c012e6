"""What an answer of the user's own provider or carrier says: its good content checked, why not, and when again.

`calls.client` asks it. Nothing here trusts what it reads: every text is cut and made one printable line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from orderfleet.domain.base import Contract

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Bytes of an answer that are read at most."""

MAX_REASON_LENGTH: Final = 300
"""Characters of somebody else's words that are kept."""

Answer = TypeVar("Answer", bound=Contract)

_WORDS: Final = ("detail", "reason", "message", "error", "title")
"""Where services put them: RFC 9457's names and the usual others, the most telling first."""


def cut(text: str) -> str:
    """`text` as one printable line of bounded length."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[: MAX_REASON_LENGTH - 1]}…"


def mapping(raw: bytes | None) -> Mapping[str, Any]:
    """The JSON object in `raw`; empty when there is none."""
    try:
        said = from_json(raw or b"")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def reason(raw: bytes | None, phrase: str | None) -> str:
    """The service's own words on why not; HTTP's phrase where it gave none."""
    said = mapping(raw)
    for name in _WORDS:
        words = said.get(name)
        if isinstance(words, dict):
            words = words.get("message")
        if isinstance(words, str) and cut(words):
            return cut(words)
    text = "" if said else cut((raw or b"")[: MAX_REASON_LENGTH * 4].decode(errors="replace"))
    # A gateway's error page says nothing that its status doesn't.
    return text if text and not text.startswith("<") else cut(phrase or "") or "no reason given"


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> timedelta | None:
    """`Retry-After` in either of its forms (RFC 9110, 10.2.3), never negative; None without one that can be read."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return timedelta(seconds=int(text))
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(at - (now or datetime.now(UTC)), timedelta(0))


def checked(answer: type[Answer], status: int, raw: bytes | None, same: Mapping[str, object]) -> Answer:
    """The answer as a model, if it is about what was asked.

    Raises:
        ValueError: what was wrong with it.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's own line
        raise ValueError(f"status {status} where 2xx was expected; redirects are not followed")
    if raw is None:
        raise ValueError(f"longer than {MAX_ANSWER_BYTES} bytes")
    try:
        said = answer.model_validate_json(raw)
    except ValidationError as error:
        raise ValueError("; ".join(_problem(problem) for problem in error.errors(include_url=False))) from None
    for field, asked in same.items():
        if getattr(said, field) != asked:
            raise ValueError(f"{field} is {getattr(said, field)} where {asked} was asked")
    return said


def _problem(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    return cut(f"{where}: {problem['msg']}" if where else str(problem["msg"]))
