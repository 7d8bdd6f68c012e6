"""Reads the arguments of a start, a signal, an update or a query, of any type.

Any client can send any bytes, and a handler that raises while it reads them fails its workflow task until the code
changes. So a handler takes `*args: Any`, and every problem with them must raise `InputRejected`, which it records.
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
    """An argument can't be used; the message names the field and the problem."""


@dataclass(frozen=True)
class Unreadable:
    """Stands for the value of a payload that could not be converted."""

    reason: str
    encrypted: bool = False
    """Whether the payload is encrypted and no key decrypts it."""


def check_readable(*values: Any) -> None:
    """Check that every value could be converted.

    Raises:
        InputRejected: one could not; the message has the reason of the first.
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
    fields = (_path(problem["loc"]) or name for problem in problems)
    return truncate(
        "; ".join(f"{field}: {validation_message(problem)}" for field, problem in zip(fields, problems, strict=True))
    )


def _path(location: tuple[int | str, ...]) -> str:
    """A field in the usual notation: `items[0].sku`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
