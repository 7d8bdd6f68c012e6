"""What can be known of a demo's order once it is over: Kubernetes, the audit trail, and the providers' own books.

`checks` judges by it. The books are those of the simulated payment provider and carrier: what they
say of money and parcels holds whatever the product's record believes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from orderfleet.carriers.ledger import CarrierLedger, TakenParcel
from orderfleet.cli.configuration import read_settings
from orderfleet.cli.demo.kubectl import Kubectl
from orderfleet.cli.demo.stage import Stage
from orderfleet.cli.demo.watch import Status
from orderfleet.contracts.record import RecordedEvent
from orderfleet.payments.ledger import Entry, PaymentLedger
from orderfleet.store import OrderReads, connect


@dataclass(frozen=True)
class Facts:
    """One order, seen from every side."""

    status: Status
    """As Kubernetes has it."""
    events: Sequence[RecordedEvent]
    charges_asked: int
    """How often the provider was asked to charge."""
    money: Sequence[Entry]
    parcels: Sequence[TakenParcel]


def gather(stage: Stage, kubectl: Kubectl, name: str) -> Facts:
    """Look everywhere.

    Raises:
        Failed: kubectl failed.
        StoreUnavailable: the record did not answer.
    """
    status = kubectl.status(name)
    payment_id = (status.get("payment") or {}).get("id")
    payments, carrier = PaymentLedger(stage.state.ledger), CarrierLedger(stage.state.ledger)
    return Facts(
        status=status,
        events=recorded_events(stage, name),
        charges_asked=sum(1 for call in payments.calls() if call == ("charge", payment_id)),
        money=[entry for entry in payments.entries() if entry.order_id == name],
        parcels=[parcel for parcel in carrier.parcels() if parcel.order_id == name and not parcel.voided],
    )


def charged_at_the_provider(stage: Stage, order_id: str) -> bool:
    """Whether the provider has taken the money, whoever knows of it."""
    return any(entry.order_id == order_id for entry in PaymentLedger(stage.state.ledger).entries())


def recorded_events(stage: Stage, order_id: str) -> list[RecordedEvent]:
    """The audit trail.

    Raises:
        StoreUnavailable: the record did not answer.
    """
    settings = read_settings(database_url=stage.state.database_url)

    async def read() -> list[RecordedEvent]:
        async with connect(settings, "demo") as database:
            return await OrderReads(database).events(order_id)

    return asyncio.run(read())
