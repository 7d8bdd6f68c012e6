"""Reads what raw Temporal clients send: plain objects, strings, nothing. The order workflow's handlers call it.

A handler that was given a typed argument could not be reached by what does not fit the type, and
the workflow would fail its task for ever; read here, it is refused and named.
"""

from __future__ import annotations

from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, ValidationError

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


def reason_of(value: Any, otherwise: str = "canceled") -> str:
    """The reason of a cancel: a plain string, an object with `reason`, or left out."""
    if isinstance(value, dict):
        value = value.get("reason")
    return value if isinstance(value, str) and value else otherwise
