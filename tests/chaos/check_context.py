"""The evidence of a run, and the facts that several checks derive from it.

A check is a function of `audit_checks`, `ledger_checks` or `status_checks`. It yields a finding for each case that it
examines. A check never excuses a violation.
"""

from __future__ import annotations

from functools import cached_property

from chaos.clients import ChangeResult, ClientLog
from chaos.evidence import Evidence
from chaos.schedule import Action
from orderfleet.domain.status import OrderStatus
from orderfleet.providers.carriers.simulated import BookedParcel

Finding = tuple[str, str]
"""The subject, and the violation; an empty text means that the case is correct."""


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


def requested(client_log: ClientLog, action: Action) -> bool:
    """Return whether the client sent the action and the order existed."""
    return any(done is action and outcome is not ChangeResult.NOT_FOUND for done, outcome, _again in client_log.changes)
