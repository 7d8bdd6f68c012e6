"""The evidence of a run, and the facts that several checks derive from it.

A check is a function of `audit_checks`, `ledger_checks` or `status_checks`. It yields a finding for each case that it
examines. A check never excuses a violation.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from chaos.client_logs import ChangeResult, ClientLog
from chaos.evidence import Evidence
from chaos.order_plans import Action
from orderfleet.domain.names import ORDER_REFUND
from orderfleet.domain.status import OrderStatus
from orderfleet.providers.carriers.simulated import BookedParcel
from orderfleet.providers.payments.simulated_entries import PaymentEntry

Finding = tuple[str, str]
"""The subject, and the violation; an empty text means that the case is correct."""


@dataclass(frozen=True)
class Book:
    """What the provider's ledger has of one payment."""

    entries: tuple[PaymentEntry, ...]

    @property
    def authorized(self) -> Decimal:
        """What was authorized, also what was released since."""
        return self._sum("authorize", "charge")

    @property
    def released(self) -> Decimal:
        """What was authorized and can't be captured any more."""
        return self._sum("release")

    @property
    def captured(self) -> Decimal:
        """What was captured, also what was refunded since."""
        return self._sum("capture", "charge")

    @property
    def refunded(self) -> Decimal:
        """What was refunded."""
        return self._sum("refund")

    @property
    def takes(self) -> int:
        """Number of the captures."""
        return sum(entry.kind in {"capture", "charge"} for entry in self.entries)

    @property
    def undone(self) -> bool:
        """Whether it was refunded as that of an order which did not ship."""
        whole = f"/refund/{ORDER_REFUND}/"
        refunds = (entry.key for entry in self.entries if entry.kind == "refund")
        return any(whole in key or key.endswith("/void") for key in refunds)

    def _sum(self, *kinds: str) -> Decimal:
        return sum((entry.amount for entry in self.entries if entry.kind in kinds), Decimal(0))


class CheckContext:
    """The evidence and what follows from it."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    @cached_property
    def accepted(self) -> dict[str, ClientLog]:
        """The client log of each accepted order, by order id."""
        return {
            client_log.order_id: client_log
            for client_log in self.evidence.client_logs.values()
            if client_log.order_id is not None
        }

    @cached_property
    def statuses(self) -> dict[str, OrderStatus]:
        """The stored status of each accepted order; another check reports orders that are missing."""
        return {name: order.status for name, order in self.evidence.orders.items() if name in self.accepted}

    @cached_property
    def parcel_of(self) -> dict[str, BookedParcel]:
        """The parcel that left, by order id."""
        return {parcel.order_id: parcel for parcel in self.evidence.parcels if not parcel.voided}

    def book(self, payment_id: str) -> Book:
        """What the provider's ledger has of a payment."""
        return Book(tuple(self._entries.get(payment_id, ())))

    @cached_property
    def _entries(self) -> dict[str, list[PaymentEntry]]:
        found: dict[str, list[PaymentEntry]] = defaultdict(list)
        for entry in self.evidence.money:
            found[entry.payment_id].append(entry)
        return dict(found)


def requested(client_log: ClientLog, action: Action) -> bool:
    """Return whether the client sent the action and the order existed."""
    return any(done is action and outcome is not ChangeResult.NOT_FOUND for done, outcome, _again in client_log.changes)
