"""Models of objects that users write: an unknown field or a duplicate key must be an error.

What processes exchange is a `Contract`, which ignores unknown fields.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

UNKNOWN_FIELD: Final = "unknown_field"
"""Type of the problem in `ValidationError.errors()`; its context has the `nearest` known field, or an empty text."""

MAX_DEPTH: Final = 32
"""Maximum nesting of objects and lists. Bodies need 4; the validation is recursive, so its depth is bounded."""


class DuplicateKey(ValueError):
    """An object has a key twice; parsers differ in which value they use."""


class TooDeep(ValueError):
    """Objects and lists are nested deeper than `MAX_DEPTH` levels."""


class StrictModel(BaseModel):
    """A frozen model that rejects unknown fields, and a field that is given under two names.

    The problem of an unknown field names the most similar known one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_and_repeated_fields(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        names = _names(cls)
        known = [name for group in names for name in group]
        problems = [_unknown(str(name), known) for name in data if name not in known]
        for group in names:
            given = [name for name in group if name in data]
            problems += [_repeated(given[0], alias) for alias in given[1:]]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return data


def read_json(body: bytes) -> Any:
    """Parse JSON that a client sent.

    Raises:
        JSONDecodeError: it is not JSON.
        DuplicateKey: an object has a key twice.
        TooDeep: it is nested too deeply.
    """
    try:
        value = json.loads(body, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise TooDeep(_too_deep()) from None
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Check that objects and lists are nested to at most `MAX_DEPTH` levels.

    Raises:
        TooDeep: they are nested more deeply.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise TooDeep(_too_deep())


def _too_deep() -> str:
    return f"is nested deeper than {MAX_DEPTH} levels"


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateKey(f"gives the key {twice!r} twice; give it once")
    return found


def _names(model: type[BaseModel]) -> list[list[str]]:
    """The names of each field of a model: its own first, then its aliases."""
    names = []
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names.append(list(dict.fromkeys([name, *(choice for choice in choices if isinstance(choice, str))])))
    return names


def _unknown(name: str, known: list[str]) -> InitErrorDetails:
    nearest = next(iter(difflib.get_close_matches(name.lower(), known, n=1)), "")
    message = "is not known; did you mean {nearest}?" if nearest else "is not known; leave it out"
    return InitErrorDetails(
        type=PydanticCustomError(UNKNOWN_FIELD, message, {"nearest": nearest}), loc=(name,), input=None
    )


def _repeated(name: str, alias: str) -> InitErrorDetails:
    message = "is another name of {name}, which is given too; give only one of them"
    return InitErrorDetails(
        type=PydanticCustomError("repeated_field", message, {"name": name}), loc=(alias,), input=None
    )
