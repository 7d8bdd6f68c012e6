"""Workflow side: reads what a workflow is started with. The order workflow alone has a reader of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from orderfleet.domain.base import truncate
    from orderfleet.domain.errors import INVALID_INPUT
    from orderfleet.domain.inputs import InputRejected, read_one

Model = TypeVar("Model", bound=BaseModel)


def read_start(model: type[Model], args: Sequence[Any], workflow_id: Callable[[Model], str] | None = None) -> Model:
    """Read the one object that a workflow is started with.

    Args:
        model: what the object is read as.
        args: the arguments of the workflow, as `*args: Any` has them.
        workflow_id: returns the id that the workflow must have, from what it was started with; None accepts any. The
            id may have a suffix after `/`: it is started under one when another client's workflow has the id.

    Raises:
        ApplicationError: it can't be read, or the id is another one's; raised in `run`, it fails the workflow.
    """
    try:
        given = read_one(model, args)
    except InputRejected as rejected:
        raise refused_start(str(rejected)) from None
    info = workflow.info()
    expected = workflow_id(given) if workflow_id is not None else info.workflow_id
    if info.workflow_id != expected and not info.workflow_id.startswith(f"{expected}/"):
        raise refused_start(f"workflow id: is {info.workflow_id!r}; start it as {expected!r}")
    return given


def refused_start(reason: str) -> ApplicationError:
    """The failure of a workflow whose start can't be used."""
    return ApplicationError(truncate(reason), type=INVALID_INPUT, non_retryable=True)
