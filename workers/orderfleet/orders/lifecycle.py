"""The transition table of an order, and what is still possible at each step. Pure.

The order workflow moves only along this table; tests hold the record against it.
"""

from __future__ import annotations

from typing import Final

from orderfleet.contracts.status import Step

TRANSITIONS: Final[dict[Step, frozenset[Step]]] = {
    Step.RECEIVE: frozenset({Step.VALIDATE, Step.CANCELED, Step.FAILED}),
    Step.VALIDATE: frozenset({Step.MANUAL_REVIEW, Step.CHARGE, Step.CANCELED, Step.FAILED}),
    Step.MANUAL_REVIEW: frozenset({Step.CHARGE, Step.CANCELED, Step.FAILED}),
    Step.CHARGE: frozenset({Step.SHIPPING, Step.CANCELED, Step.FAILED}),
    Step.SHIPPING: frozenset({Step.SHIPPED, Step.CANCELED, Step.FAILED}),
    Step.SHIPPED: frozenset({Step.DELIVERED}),
    Step.DELIVERED: frozenset(),
    Step.CANCELED: frozenset(),
    Step.FAILED: frozenset(),
}
"""From each step, the steps an order may go to."""

_TOO_LATE: Final = {
    Step.SHIPPED: "the package is already dispatched",
    Step.DELIVERED: "the package is already delivered",
    Step.CANCELED: "the order is already canceled",
    Step.FAILED: "the order has already failed",
}


def advance(current: Step, following: Step) -> Step:
    """Return `following` if the table allows it.

    Raises:
        ValueError: it does not; a bug in the caller.
    """
    if following not in TRANSITIONS[current]:
        msg = f"an order never goes from {current} to {following}"
        raise ValueError(msg)
    return following


def refuses_change(step: Step) -> str | None:
    """Why an order at `step` takes neither cancel nor another address; None while it may."""
    return _TOO_LATE.get(step)


def refuses_approval(step: Step) -> str | None:
    """Why an order at `step` takes no approval; None while it may, or has it already."""
    return _TOO_LATE[step] if step in {Step.CANCELED, Step.FAILED} else None
