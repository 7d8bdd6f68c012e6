"""Workflow side: reads the input of every workflow but the order workflow, which accepts several forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.base import truncate
    from orderfleet.domain.errors import INVALID_INPUT
    from orderfleet.domain.inputs import InputRejected, Model, read_one


def read_start(model: type[Model], args: Sequence[Any], workflow_id: Callable[[Model], str] | None = None) -> Model:
    """Return the one argument of a workflow as a model.

    Args:
        model: of the argument.
        args: of the workflow, from `*args: Any`.
        workflow_id: returns the workflow id that the argument requires; None accepts any. An id with a suffix after
            `/` is accepted too: Orderfleet appends one when a workflow of another client has the plain id.

    Raises:
        ApplicationError: the argument is invalid, or requires another workflow id. Raised in `run`, it fails the
            workflow.
    """
    try:
        start = read_one(model, args)
    except InputRejected as rejected:
        raise rejected_start(str(rejected)) from None
    info = workflow.info()
    expected = workflow_id(start) if workflow_id is not None else info.workflow_id
    if info.workflow_id != expected and not info.workflow_id.startswith(f"{expected}/"):
        raise rejected_start(f"workflow id: is {info.workflow_id!r}; start it as {expected!r}")
    return start


def rejected_start(reason: str) -> ApplicationError:
    """Return the failure of a workflow with an invalid input."""
    return ApplicationError(truncate(reason), type=INVALID_INPUT, non_retryable=True)
