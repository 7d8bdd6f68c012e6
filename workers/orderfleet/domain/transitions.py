"""Transition tables of orders and shipments. The status of a payment is derived from the ledger.

The store must change a row along these tables only: a late or repeated write leaves the status unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orderfleet.domain.status import ShipmentStatus, Step

SHIPMENT_TRANSITIONS: Final[Mapping[ShipmentStatus, frozenset[ShipmentStatus]]] = {
    ShipmentStatus.PREPARING: frozenset(ShipmentStatus) - {ShipmentStatus.PREPARING},
    ShipmentStatus.PREPARED: frozenset(ShipmentStatus) - {ShipmentStatus.PREPARING, ShipmentStatus.PREPARED},
    # The next run of its workflow prepares the package again.
    ShipmentStatus.PARKED: frozenset(ShipmentStatus) - {ShipmentStatus.PREPARING, ShipmentStatus.PARKED},
    # A booking can be voided until the parcel leaves.
    ShipmentStatus.DISPATCHED: frozenset({ShipmentStatus.DELIVERED, ShipmentStatus.CANCELED}),
    ShipmentStatus.DELIVERED: frozenset(),
    ShipmentStatus.CANCELED: frozenset(),
    # A later call can show that the carrier had accepted the parcel.
    ShipmentStatus.FAILED: frozenset({ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED}),
}
"""From each status of a shipment, the statuses that may follow."""


def shipment_origins(status: ShipmentStatus) -> list[ShipmentStatus]:
    """The statuses of a shipment that `status` may follow."""
    return sorted(origin for origin, targets in SHIPMENT_TRANSITIONS.items() if status in targets)


ORDER_TRANSITIONS: Final[dict[Step, frozenset[Step]]] = {
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
"""From each step of an order, the steps that may follow."""


_TOO_LATE: Final = {
    Step.SHIPPED: "the package is already dispatched",
    Step.DELIVERED: "the package is already delivered",
    Step.CANCELED: "the order is already canceled",
    Step.FAILED: "the order has already failed",
}


def advance(current: Step, following: Step) -> Step:
    """Check that a step may follow another.

    Args:
        current: the step of the order.
        following: the next one.

    Returns:
        `following`.

    Raises:
        ValueError: the table does not allow it, which is a bug of the caller.
    """
    if following not in ORDER_TRANSITIONS[current]:
        raise ValueError(f"an order never goes from {current} to {following}")
    return following


def rejects_change(step: Step) -> str | None:
    """Why an order at `step` rejects a cancel or another address; None if it accepts them."""
    return _TOO_LATE.get(step)


def rejects_approval(step: Step) -> str | None:
    """Why an order at `step` rejects an approval; None if it accepts it or has it already."""
    return _TOO_LATE[step] if step in {Step.CANCELED, Step.FAILED} else None
