"""Which status of a payment or a shipment may follow which: the one transition table of each.

The store moves a row only along these; a write that is not a move (late, or told again) leaves the
status as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orderfleet.contracts.status import PaymentStatus, ShipmentStatus

PAYMENT_MOVES: Final[Mapping[PaymentStatus, frozenset[PaymentStatus]]] = {
    PaymentStatus.INIT: frozenset({PaymentStatus.CHARGED, PaymentStatus.FAILED, PaymentStatus.VOIDED}),
    PaymentStatus.CHARGED: frozenset({PaymentStatus.REFUNDING}),
    PaymentStatus.FAILED: frozenset({PaymentStatus.VOIDED}),
    PaymentStatus.VOIDED: frozenset(),
    PaymentStatus.REFUNDING: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.REFUNDED: frozenset(),
}
"""A payment's moves; CHARGED leads to a refund only."""

SHIPMENT_MOVES: Final[Mapping[ShipmentStatus, frozenset[ShipmentStatus]]] = {
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
    return sorted(origin for origin, targets in PAYMENT_MOVES.items() if status in targets)


def shipment_origins(status: ShipmentStatus) -> list[ShipmentStatus]:
    """The statuses from which a shipment may move to `status`."""
    return sorted(origin for origin, targets in SHIPMENT_MOVES.items() if status in targets)
