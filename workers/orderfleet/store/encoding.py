"""Values for Postgres: JSON and text that it accepts.

Postgres rejects NUL characters and lone surrogates. An order must not fail because an error message contains one, so
they are replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, overload

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from orderfleet.domain.events import AuditEvent, Progress

_NUL = r"\u0000"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_KEY = 512
# A NUL in JSON text: the escape, unless its backslash is itself escaped.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def as_json(value: BaseModel | Sequence[BaseModel]) -> str:
    """Return the JSON of one model or of several. Decimals become strings, so they stay exact."""
    try:
        text = to_json(value).decode()
    except PydanticSerializationError:
        # pydantic's serializer rejects surrogates; the one of the standard library is slower.
        text = _without_surrogates(_standard_json(value))
    return _ESCAPED_NUL.sub(rf"\1{_REPLACEMENT}", text) if _NUL in text else text


def _standard_json(value: BaseModel | Sequence[BaseModel]) -> str:
    content: Any = (
        value.model_dump(mode="json")
        if isinstance(value, BaseModel)
        else [each.model_dump(mode="json") for each in value]
    )
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def events_only(events: Sequence[AuditEvent]) -> str:
    """Return the JSON of a progress that has events and no state: number 0 is never new."""
    return f'{{"seq":0,"events":{as_json(events)}}}'


def without_texts(progress: Progress, why: str) -> Progress:
    """The progress with `why` in place of each text that Postgres may reject, for one that it did reject."""
    reason = progress.declared.reason and why
    return progress.model_copy(
        update={
            "cancel_reason": _instead(progress.cancel_reason, why),
            "dispatch_failed_reason": _instead(progress.dispatch_failed_reason, why),
            "last_error": _instead(progress.last_error, why),
            "address": None,
            "declared": progress.declared.model_copy(update={"reason": reason}),
            "hold": progress.hold and progress.hold.model_copy(update={"reason": why}),
            "payment_pending": progress.payment_pending and progress.payment_pending.model_copy(update={"url": ""}),
            "events": events_without_texts(progress.events, why),
        }
    )


def events_without_texts(events: Sequence[AuditEvent], why: str) -> tuple[AuditEvent, ...]:
    """The events with `why` as their detail, and with keys of bounded length."""
    return tuple(event.model_copy(update={"key": _bounded(event.key), "detail": {"reason": why}}) for event in events)


def _instead(text: str | None, why: str) -> str | None:
    return None if text is None else why


def _bounded(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else sha256(key.encode("utf-8", "replace")).hexdigest()


@overload
def as_text(value: str) -> str: ...
@overload
def as_text(value: None) -> None: ...
def as_text(value: str | None) -> str | None:
    """Return the text with what Postgres rejects replaced."""
    return None if value is None else _without_surrogates(value.replace("\0", _REPLACEMENT))


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
