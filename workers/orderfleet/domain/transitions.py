"""Which status of a payment or a shipment may follow which: the one transition table of each.

The store moves a row only along these; a write that is not a move (late, or told again) leaves the
status as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step

PAYMENT_TRANSITIONS: Final[Mapping[PaymentStatus, frozenset[PaymentStatus]]] = {
    PaymentStatus.INIT: frozenset({PaymentStatus.CHARGED, PaymentStatus.FAILED, PaymentStatus.VOIDED}),
    PaymentStatus.CHARGED: frozenset({PaymentStatus.REFUNDING}),
    PaymentStatus.FAILED: frozenset({PaymentStatus.VOIDED}),
    PaymentStatus.VOIDED: frozenset(),
    PaymentStatus.REFUNDING: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.REFUNDED: frozenset(),
}

"""A payment's moves; CHARGED leads to a refund only."""


SHIPMENT_TRANSITIONS: Final[Mapping[ShipmentStatus, frozenset[ShipmentStatus]]] = {
    ShipmentStatus.PREPARING: frozenset(ShipmentStatus) - {ShipmentStatus.PREPARING},
    ShipmentStatus.PREPARED: frozenset(ShipmentStatus) - {ShipmentStatus.PREPARING, ShipmentStatus.PREPARED},
    # A carrier may take back what it has booked until the parcel leaves.
    ShipmentStatus.DISPATCHED: frozenset({ShipmentStatus.DELIVERED, ShipmentStatus.CANCELED}),
    ShipmentStatus.DELIVERED: frozenset(),
    ShipmentStatus.CANCELED: frozenset(),
    # The carrier may say, when asked again, that it had taken the parcel all the same.
    ShipmentStatus.FAILED: frozenset({ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED}),
}

"""A shipment's moves."""


def payment_origins(status: PaymentStatus) -> list[PaymentStatus]:
    """The statuses from which a payment may move to `status`."""
    return sorted(origin for origin, targets in PAYMENT_TRANSITIONS.items() if status in targets)


def shipment_origins(status: ShipmentStatus) -> list[ShipmentStatus]:
    """The statuses from which a shipment may move to `status`."""
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
    if following not in ORDER_TRANSITIONS[current]:
        msg = f"an order never goes from {current} to {following}"
        raise ValueError(msg)
    return following


def rejects_change(step: Step) -> str | None:
    """Why an order at `step` takes neither cancel nor another address; None while it may."""
    return _TOO_LATE.get(step)


def rejects_approval(step: Step) -> str | None:
    """Why an order at `step` takes no approval; None while it may, or has it already."""
    return _TOO_LATE[step] if step in {Step.CANCELED, Step.FAILED} else None
