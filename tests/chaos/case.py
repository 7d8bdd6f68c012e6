"""The evidence of a run as promises look at it: what was accepted, and where it stands.

The modules `story`, `moved` and `shown` hold one promise in each of their functions and yield what they find of
each thing they look at. It must never excuse anything.
"""

from __future__ import annotations

from functools import cached_property

from customers import Outcome, Told
from evidence import Evidence
from schedule import Act

from orderfleet.domain.status import OrderStatus
from orderfleet.providers.carriers.simulated import BookedParcel

Finding = tuple[str, str]
"""What it is about, and what is wrong with it; nothing is an empty text."""


class Case:
    """The evidence, and what follows from it."""

    def __init__(self, evidence: Evidence) -> None:
        self.found = evidence

    @cached_property
    def accepted(self) -> dict[str, Told]:
        """What customers were told of the orders that were accepted."""
        return {told.order_id: told for told in self.found.told.values() if told.order_id is not None}

    @cached_property
    def statuses(self) -> dict[str, OrderStatus]:
        """Of accepted orders that are recorded; others are another promise's matter."""
        return {name: order.status for name, order in self.found.orders.items() if name in self.accepted}

    @cached_property
    def parcel_of(self) -> dict[str, BookedParcel]:
        """The parcel that left, by order."""
        return {parcel.order_id: parcel for parcel in self.found.parcels if not parcel.voided}


def did(told: Told, act: Act) -> bool:
    """Whether a customer did something to an order that was known then."""
    return any(done is act and outcome is not Outcome.UNKNOWN for done, outcome, _again in told.changes)
