"""Reads the arguments of a start of the order workflow: one object, or the four arguments of an earlier system.

It must raise no other error than `InputRejected` for what a client sent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from orderfleet.domain import names
    from orderfleet.domain.inputs import InputRejected, check_readable, read
    from orderfleet.domain.order import OrderInput

from orderfleet.orders.state import OrderState

_EARLIER: Final = ("order_id", "payment_id", "items", "address")
"""The four arguments of an earlier system."""
_CONTINUED: Final = 2
"""Arguments of a run that continues another: the order and its state."""
TAKES: Final = f"{names.ORDER_WORKFLOW} takes one object, the order, or four arguments: {', '.join(_EARLIER)}"


def read_order(args: Sequence[Any], info: workflow.Info) -> tuple[OrderInput, str | None, OrderState]:
    """Read the order that a client starts.

    Args:
        args: arguments of the workflow.
        info: of its first run.

    Returns:
        The order, with texts that are too long cut; the problems of these texts, or None; and its first state.

    Raises:
        InputRejected: the arguments are not an order, or the workflow id is not that of the order.
    """
    if info.cron_schedule:
        raise InputRejected("cron schedule: an order is handled once; start it without one")
    if len(args) not in {1, len(_EARLIER)}:
        raise InputRejected(f"{TAKES}; {len(args)} were given")
    try:
        check_readable(*args)
        order, too_long = read_and_cut(args[0] if len(args) == 1 else dict(zip(_EARLIER, args, strict=True)))
    except InputRejected as rejected:
        raise InputRejected(f"{rejected}. {TAKES}") from None
    expected = names.order_workflow_id(order.order_id)
    if info.workflow_id != expected:
        # The database, the API and the operator find the workflow of an order by this id alone.
        raise InputRejected(f"workflow id: is {info.workflow_id!r}; start order {order.order_id!r} as {expected!r}")
    return order, too_long, OrderState.new(order, info.start_time)


def read_and_cut(value: Any) -> tuple[OrderInput, str | None]:
    """Read an order; texts that are too long are cut, so that the order can be recorded with what is wrong."""
    try:
        return read(OrderInput, value), None
    except InputRejected as rejected:
        shortened = _cut(value)
        if shortened is None:
            raise
        return read(OrderInput, shortened), str(rejected)


def _cut(value: Any) -> Any:
    """A copy of `value` with its long texts cut; None if it has no long text."""
    try:
        OrderInput.model_validate(value)
    except ValidationError as error:
        long = [problem for problem in error.errors(include_url=False) if problem["type"] == "string_too_long"]
    except Exception:  # noqa: BLE001 - `read` reports the problem
        return None
    else:
        return None
    if not long:
        return None
    shortened = copy.deepcopy(value)
    try:
        for problem in long:
            *outer, last = problem["loc"]
            parent = shortened
            for part in outer:
                parent = parent[part]
            parent[last] = parent[last][: problem["ctx"]["max_length"]]
    except (LookupError, TypeError):
        # pydantic's location can name a branch of a union. An error here would fail the workflow task.
        return None
    return shortened


def read_continued(args: Sequence[Any], info: workflow.Info) -> tuple[OrderInput, str | None, OrderState]:
    """Read the order and the state that the previous run continued with.

    Args:
        args: arguments of the workflow.
        info: of its run.

    Returns:
        As `read_order`.

    Raises:
        InputRejected: the run is a retry of a client's start, and the arguments are rejected.
        RuntimeError: this build can't read the state of the previous run. The workflow task fails and is retried until
            a worker can: a rejection would end a charged order without a refund.
    """
    if info.cron_schedule or (info.attempt > 1 and len(args) != _CONTINUED):
        # The server starts these runs, with the arguments of the first one.
        return read_order(args, info)
    try:
        order, state = args
        return read(OrderInput, order), None, read(OrderState, state)
    except (InputRejected, ValueError) as error:
        if info.attempt > 1:
            raise InputRejected(str(error)) from None
        raise RuntimeError(f"the state of the previous run can't be read: {error}") from error
