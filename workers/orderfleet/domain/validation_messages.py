"""Messages of validation errors: what is wrong with a field, and the remedy.

Pydantic's own messages name Python types and no remedy. A message must not repeat the value, which may be a secret;
durations are the exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orderfleet.domain.base import ORDER_ID, ORDER_NAME, PAYMENT_ID, WORKFLOW_ID
from orderfleet.domain.durations import MAX_DURATION, format_duration

_DURATION: Final = "write 24h, 1h30m, 3s or 250ms"
_ID: Final = "letters, digits, dots, underscores or dashes, the first of them a letter or a digit"

_PATTERNS: Final = {
    ORDER_ID: f"has to be 1 to 128 {_ID}",
    ORDER_NAME: f"has to be 1 to 128 {_ID}; or `order-` and these",
    PAYMENT_ID: f"has to be 1 to 200 {_ID}; colons may follow too",
    WORKFLOW_ID: "has to be an order workflow's id: `order-` and the order id",
}

_MESSAGES: Final = {
    "missing": "is missing; give it",
    "string_unicode": "has half of a surrogate pair (\\ud800 to \\udfff), which is no character; leave it out",
    "bool_type": "is neither true nor false",
    "int_parsing": "is not a whole number; write it as a number, such as 2",
    "time_delta_type": f"is not a duration; {_DURATION}",
    "time_delta_parsing": f"is not a duration; {_DURATION}",
    "decimal_type": "is not a decimal number; write it as text, such as 4.50",
    "decimal_parsing": "is not a decimal number; write it as text, such as 4.50",
    "model_type": "has to be an object with fields",
    "model_attributes_type": "has to be an object with fields",
    "datetime_type": "is not a time; write 2026-11-21T10:00:00Z",
    "datetime_parsing": "is not a time; write 2026-11-21T10:00:00Z",
    "datetime_from_date_parsing": "is not a time; write 2026-11-21T10:00:00Z",
    "timezone_aware": "has no zone; write 2026-11-21T10:00:00Z",
}


def validation_message(problem: Mapping[str, Any]) -> str:
    """Message of one problem of `ValidationError.errors()`, without the name of the field."""
    bounds = problem.get("ctx", {})
    match problem["type"]:
        # The bound of a number is a number; that of a duration is a text whose form depends on the release of pydantic.
        case "greater_than" if isinstance(bounds.get("gt"), str):
            return f"has to be above zero; {_DURATION}"
        case "less_than_equal" if isinstance(bounds.get("le"), str):
            return f"is too long; write {format_duration(MAX_DURATION)} or less"
        case "string_too_long":
            return f"has more than {bounds['max_length']} characters; write less"
        case "string_pattern_mismatch" if bounds.get("pattern") in _PATTERNS:
            return _PATTERNS[bounds["pattern"]]
        case kind if kind in _MESSAGES:
            return _MESSAGES[kind]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"
