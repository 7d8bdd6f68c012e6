"""Reads the arguments of a start, a signal, an update or a query, of any type; and the messages of invalid fields.

Any client can send any bytes, and a handler that raises while it reads them fails its workflow task until the code
changes. So a handler takes `*args: Any`, and every problem with them must raise `InputRejected`, which it records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from orderfleet.domain.base import LOCATION_ID, ORDER_ID, ORDER_NAME, PAYMENT_ID, WORKFLOW_ID, truncate
from orderfleet.domain.durations import MAX_DURATION, format_duration

Model = TypeVar("Model", bound=BaseModel)


class InputRejected(Exception):
    """An argument can't be used; the message names the field and the problem."""


@dataclass(frozen=True)
class Unreadable:
    """Stands for the value of a payload that could not be converted."""

    reason: str
    encrypted: bool = False
    """Whether the payload is encrypted and no key decrypts it."""


def check_readable(*values: Any) -> None:
    """Check that the data converter could convert the payload of every value.

    Raises:
        InputRejected: it could not convert one; the message has the reason of the first.
    """
    for value in values:
        if isinstance(value, Unreadable):
            raise InputRejected(value.reason)


def read(model: type[Model], value: Any) -> Model:
    """Read one value.

    Args:
        model: its type.
        value: the value as it was converted, of any type.

    Raises:
        InputRejected: the value does not fit the model; the message names the fields.
    """
    check_readable(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputRejected(explain(error, model.__name__)) from None
    except Exception as error:  # noqa: BLE001 - a validator may raise any error for an unexpected value
        raise InputRejected(f"{model.__name__}: can't be read ({type(error).__name__})") from None


def read_one(model: type[Model], args: Sequence[Any]) -> Model:
    """Read arguments that have to be one object.

    Args:
        model: its type.
        args: the arguments.

    Raises:
        InputRejected: there is none or several, or it does not fit the model.
    """
    if len(args) != 1:
        raise InputRejected(f"takes one argument, an object of type {model.__name__}; {len(args)} were given")
    return read(model, args[0])


def read_optional(model: type[Model], args: Sequence[Any]) -> Model:
    """Read arguments that have to be one object or none; `null` counts as none.

    Args:
        model: its type, whose fields all have defaults.
        args: the arguments.

    Raises:
        InputRejected: there are several, or it does not fit the model.
    """
    return read(model, {}) if list(args) in ([], [None]) else read_one(model, args)


def read_none(args: Sequence[Any]) -> None:
    """Check that there is no argument; `null` and an empty object count as none.

    Raises:
        InputRejected: there is another value.
    """
    check_readable(*args)
    if any(value is not None and value != {} for value in args):
        raise InputRejected(f"takes no argument; {len(args)} were given")


def read_reason(args: Sequence[Any], default: str) -> str:
    """Read the reason of a cancel: a text, or an object with `reason`.

    Args:
        args: the arguments.
        default: the reason if there is none.

    Raises:
        InputRejected: there are several arguments, or the reason is not a text.
    """
    if len(args) > 1:
        raise InputRejected(f"takes at most one argument, the reason; {len(args)} were given")
    check_readable(*args)
    value = args[0] if args else None
    if isinstance(value, Mapping):
        value = value.get("reason")
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        raise InputRejected("reason: has to be a text, or an object with the text in `reason`")
    return value


def explain(error: ValidationError, name: str) -> str:
    """The problems of a validation error in one line, each after its field.

    Args:
        error: the error.
        name: used in place of a field for a problem of the whole value.
    """
    problems = error.errors(include_url=False, include_input=False)
    fields = (field_path(problem["loc"]) or name for problem in problems)
    return truncate(
        "; ".join(f"{field}: {validation_message(problem)}" for field, problem in zip(fields, problems, strict=True))
    )


def field_path(location: Iterable[int | str]) -> str:
    """A field in the usual notation: `items[0].sku`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


_DURATION: Final = "write 24h, 1h30m, 3s or 250ms"
_ID: Final = "letters, digits, dots, underscores or dashes, the first of them a letter or a digit"

_PATTERNS: Final = {
    ORDER_ID: f"has to be 1 to 128 {_ID}",
    ORDER_NAME: f"has to be 1 to 128 {_ID}; or `order-` and these",
    PAYMENT_ID: f"has to be 1 to 200 {_ID}; colons may follow too",
    LOCATION_ID: f"has to be 1 to 63 {_ID}",
    WORKFLOW_ID: "has to be an order workflow's id: `order-` and the order id",
}

_MESSAGES: Final = {
    "missing": "is missing; give it",
    "string_too_short": "is empty; fill it in",
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
    """Message of one problem of `ValidationError.errors()`, without its field: what is wrong, and the remedy.

    Pydantic's own messages name Python types and no remedy. A message must not repeat the value, which may be a secret;
    durations are the exception.
    """
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
        case kind if kind in _MESSAGES and bounds.get("min_length", 1) == 1:
            return _MESSAGES[kind]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"
