"""Reads the answer of a provider's service: validated content, the reason of a rejection, and `Retry-After`.

An answer is untrusted: every text from it becomes one printable line of bounded length.
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
"""Characters of a service's text that are kept."""

Answer = TypeVar("Answer", bound=Contract)

_REASON_FIELDS: Final = ("detail", "reason", "message", "error", "title")
"""Fields in which services give a reason: those of RFC 9457 and other usual ones, the most specific first."""


def printable_line(text: str) -> str:
    """Return `text` as one printable line of bounded length."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[: MAX_REASON_LENGTH - 1]}…"


def json_object(body: bytes | None) -> Mapping[str, Any]:
    """Return the JSON object in `body`; empty when there is none."""
    try:
        content = from_json(body or b"")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def reason(body: bytes | None, phrase: str | None) -> str:
    """Return why the service rejected the call.

    Args:
        body: of the answer; None when it is too long.
        phrase: HTTP's reason phrase, used when the body gives no reason.
    """
    content = json_object(body)
    for field in _REASON_FIELDS:
        text = content.get(field)
        if isinstance(text, dict):
            text = text.get("message")
        if isinstance(text, str) and printable_line(text):
            return printable_line(text)
    text = "" if content else printable_line((body or b"")[: MAX_REASON_LENGTH * 4].decode(errors="replace"))
    # A gateway's HTML page has no more information than its status.
    return text if text and not text.startswith("<") else printable_line(phrase or "") or "no reason given"


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> timedelta | None:
    """Return the delay of `Retry-After` in either of its forms (RFC 9110, 10.2.3).

    Args:
        headers: of the answer.
        now: the time that a date is compared with; None is the current time.

    Returns:
        The delay, never negative; None when the header is absent or can't be parsed.
    """
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


def validated(
    model: type[Answer],
    status: int,
    body: bytes | None,
    expected: Mapping[str, object],
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """Return the answer as a model, if it answers this call.

    Args:
        model: of the answer.
        status: HTTP status.
        body: of the answer; None when it is too long.
        expected: values that fields of the answer must have.
        max_bytes: of an answer, for the message about a longer one.

    Raises:
        ValueError: the answer is invalid; the message says which field.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's success class
        raise ValueError(f"status {status} where 2xx was expected; redirects are not followed")
    if body is None:
        raise ValueError(f"longer than {max_bytes} bytes")
    try:
        answer = model.model_validate_json(body)
    except ValidationError as error:
        raise ValueError("; ".join(_problem(problem) for problem in error.errors(include_url=False))) from None
    for field, value in expected.items():
        if getattr(answer, field) != value:
            raise ValueError(f"{field} is {getattr(answer, field)} where {value} was asked")
    return answer


def _problem(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    return printable_line(f"{field}: {problem['msg']}" if field else str(problem["msg"]))
