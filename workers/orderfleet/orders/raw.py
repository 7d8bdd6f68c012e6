"""Reads what raw Temporal clients send: plain objects, strings, nothing. The order workflow's handlers call it.

A handler that was given a typed argument could not be reached by what does not fit the type, and
the workflow would fail its task for ever; read here, it is refused and named.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, ValidationError

    from orderfleet.contracts.complaints import complaint
    from orderfleet.contracts.order import OrderInput
    from orderfleet.contracts.words import cut

Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], value: Any) -> Model | str:
    """Read what a client sent; a string says which fields are wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return cut(
            "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or model.__name__}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
        )


def read_order(value: Any) -> tuple[OrderInput, str | None] | str:
    """Read an order; texts that are too long are cut, so that the order can be recorded with what is wrong.

    Returns:
        The order, and what is wrong with it where texts were cut; or why it can't be read.
    """
    try:
        return OrderInput.model_validate(value), None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        cut_value = copy.deepcopy(value)
        for problem in problems:
            if problem["type"] == "string_too_long":
                _cut_at(cut_value, problem["loc"], problem["ctx"]["max_length"])
        order = read(OrderInput, cut_value)
        if isinstance(order, str):
            return order
        return order, cut("; ".join(f"{_path(problem['loc'])}: {complaint(problem)}" for problem in problems))


def _cut_at(value: Any, place: tuple[int | str, ...], length: int) -> None:
    *outer, last = place
    for part in outer:
        value = value[part]
    value[last] = value[last][:length]


def _path(place: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def reason_of(value: Any, otherwise: str = "canceled") -> str:
    """The reason of a cancel: a plain string, an object with `reason`, or left out."""
    if isinstance(value, dict):
        value = value.get("reason")
    return value if isinstance(value, str) and value else otherwise
