"""Reads what a client sends: arguments of a start, a signal, an update or a query, whatever they are.

Workflows and activities call it. Temporal delivers the bytes that a client sent, and a handler that raises while it
reads them fails its workflow task until its code changes. So a handler takes `*args: Any`, and everything that can go
wrong with them is one exception here, `InputRejected`, which the handler records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from orderfleet.domain.base import truncate
from orderfleet.domain.validation_messages import validation_message

Model = TypeVar("Model", bound=BaseModel)


class InputRejected(Exception):
    """What was sent can't be used; the message says what is wrong, and with which field."""


@dataclass(frozen=True)
class Unreadable:
    """The value of a payload that could not be converted."""

    reason: str
    encrypted: bool = False
    """Whether the payload is encrypted and no key opens it."""


def check_readable(*values: Any) -> None:
    """Raise `InputRejected` with the reason of the first value that could not be converted, if there is one."""
    for value in values:
        if isinstance(value, Unreadable):
            raise InputRejected(value.reason)


def read(model: type[Model], value: Any) -> Model:
    """Read one value as `model`.

    Raises:
        InputRejected: the value is none; the message names the fields.
    """
    check_readable(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputRejected(explain(error, model.__name__)) from None
    except Exception as error:  # noqa: BLE001 - a validator may raise anything for a value that it does not expect
        raise InputRejected(f"{model.__name__}: can't be read ({type(error).__name__})") from None


def read_one(model: type[Model], args: Sequence[Any]) -> Model:
    """Read arguments that are one object.

    Raises:
        InputRejected: there are none or several, or the object is wrong.
    """
    if len(args) != 1:
        raise InputRejected(f"takes one argument, an object of type {model.__name__}; {len(args)} were given")
    return read(model, args[0])


def read_none(args: Sequence[Any]) -> None:
    """Accept no argument; clients that have to send one send `null` or an empty object.

    Raises:
        InputRejected: there is a value that means something.
    """
    check_readable(*args)
    if any(value is not None and value != {} for value in args):
        raise InputRejected(f"takes no argument; {len(args)} were given")


def read_reason(args: Sequence[Any], default: str) -> str:
    """Read the reason of a cancel: a text, an object with `reason`, or nothing, which is `default`.

    Raises:
        InputRejected: there are several arguments, or the reason is no text.
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
    """The problems of a validation error in one line, each behind its field; `name` stands for the whole value."""
    problems = error.errors(include_url=False, include_input=False)
    fields = (_path(problem["loc"]) or name for problem in problems)
    return truncate(
        "; ".join(f"{field}: {validation_message(problem)}" for field, problem in zip(fields, problems, strict=True))
    )


def _path(place: tuple[int | str, ...]) -> str:
    """A field as a person writes it: `items[0].sku`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
